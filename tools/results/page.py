"""The generated part of docs/results.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from tools.results.evidence import METRICS, SEEDS_WANTED, Contest, Evidence, Need, Row, Runs, Untrained

BEGIN, END = "<!-- tools.results -->", "<!-- /tools.results -->"
COLUMNS = (
    "coefficient_ratio",
    "value_ratio",
    "byte_ratio",
    "file_bytes",
    "multiplications_saved",
    "dense_accuracy",
    "accuracy",
    "drop",
)
READINGS = {"positional": "by position", "ranked": "by rank", "mixed": "by either"}
CURVES = {"mnist": "results-mnist.svg", "cifar-10": "results-cifar-10.svg"}


def insert(page: str, part: str) -> str:
    """Return a page with another generated part.

    Raises
    ------
    ValueError
        When it does not have the two lines that such a part stands between, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must have the lines {BEGIN} and {END} once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.split(END)[1]}"


def write(evidence: Evidence) -> str:
    """Return everything that is generated."""
    return "\n".join(_lines(evidence))


def _lines(evidence: Evidence) -> Iterator[str]:
    yield "## Overview"
    yield ""
    overview = [
        (row.title if number == 0 else "", row.paper if number == 0 else "", _text(target), _best(target, runs))
        for row in evidence.rows
        for runs in [evidence.runs[row.name]]
        for number, target in enumerate(row.targets)
    ]
    yield from grid(("network", "paper", "wanted", "ours"), overview)
    for row in evidence.rows:
        yield ""
        yield f"## {row.title}"
        yield ""
        yield from _row(row, evidence.runs[row.name])
    yield ""
    yield "## Accuracy against bytes"
    for data, picture in CURVES.items():
        yield ""
        yield f"![Test error against bytes on {data}: ours beside published models](images/{picture})"
    yield ""
    yield from grid(
        ("published", "bytes", "test error", "source"),
        [
            (point.name, f"{point.bytes:,}", f"{point.error:g} %", point.source + (" (secondary)" * point.secondary))
            for point in evidence.published
        ],
    )
    yield ""
    yield "## No retraining"
    yield ""
    if not evidence.contests:
        yield "No runs are recorded yet."
    for contest in evidence.contests:
        yield from _contest(contest)


def _row(row: Row, groups: Sequence[Runs]) -> Iterator[str]:
    yield f"Paper: {row.paper}."
    yield ""
    if row.note:
        yield row.note.strip()
        yield ""
    recorded = [group for group in groups if group.runs]
    for group in groups:
        if not group.runs:
            yield f"No runs of the preset `{group.preset}` are recorded yet."
            yield ""
    if not groups:
        yield "No preset yet."
        return
    if recorded:
        headings = ("", *(f"`{group.preset}`, {READINGS[group.recipe.reading]}" for group in recorded))
        lines = [(METRICS[name].name, *(METRICS[name].summary(group.runs) for group in recorded)) for name in COLUMNS]
        lines += [(f"retraining, {unit}", *(_cost(group, field) for group in recorded)) for unit, field in COSTS]
        lines.append(("seeds", *(", ".join(str(run.seed) for run in group.runs) for group in recorded)))
        yield from grid(headings, lines)
        yield ""
        for target in row.targets:
            yield f"- {_text(target)}: {'; '.join(_verdict(target, group) for group in recorded)}."
        yield ""
        for group in recorded:
            if group.earlier:
                seeds = ", ".join(str(run.seed) for run in group.earlier)
                yield f"`{group.preset}` has other settings now than when seed {seeds} was recorded."
                yield ""
            if not all(run.complete for run in group.runs):
                yield f"`{group.preset}` was run on a part of the data set: these are not results on the set."
                yield ""
    yield "```sh"
    for group in groups:
        yield from _commands(group)
    yield "```"


COSTS = (("epochs of dense training", "epochs"), ("processor time of dense training", "cpu_seconds"))


def _cost(group: Runs, field: str) -> str:
    found = [getattr(run.cost, field) for run in group.runs if run.cost is not None]
    known = [value for value in found if value is not None]
    if len(known) < len(group.runs):
        return "none" if all(not run.retraining for run in group.runs) else "not known"
    low, middle, high = (f"{value:.2f}x" for value in (min(known), median(known), max(known)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _commands(group: Runs) -> Iterator[str]:
    """What was typed; for a preset without runs, what would be."""
    said: set[str] = set()
    for run in group.runs:
        for command in (run.dense_command, *run.command.split(" && ")):
            if command and command not in said:
                said.add(command)
                yield command
    if not group.runs:
        yield f"horner approximate --preset {group.preset} --seed 0 -o {group.preset}-0.horner --record results"


def _verdict(target: Sequence[Need], group: Runs) -> str:
    """Say whether a target is met, and how surely; or what stands in the way."""
    short = group.short_of(target)
    who = f"`{group.preset}`"
    if short:
        return f"{who} does not, {', '.join(need.shortfall(group.runs) for need in short)}"
    count = len(group.runs)
    few = f"; {SEEDS_WANTED} are wanted" if count < SEEDS_WANTED else ""
    return f"{who} does ({count} {'seed' if count == 1 else 'seeds'}{few})"


def _best(target: Sequence[Need], groups: Sequence[Runs]) -> str:
    """Say who meets a target, or who comes nearest by the number of needs met."""
    recorded = [group for group in groups if group.runs]
    if not recorded:
        return "missing"
    nearest = min(recorded, key=lambda group: len(group.short_of(target)))
    numbers = ", ".join(need.shortfall(nearest.runs) for need in target)
    verdict = "not met" if nearest.short_of(target) else "**met**"
    count = len(nearest.runs)
    return f"{verdict}: `{nearest.preset}`, {numbers} ({count} {'seed' if count == 1 else 'seeds'})"


def _contest(contest: Contest) -> Iterator[str]:
    yield f"### {contest.model}, {contest.data}"
    yield ""
    yield (
        f"Dense: {contest.dense.accuracy:.2f} %, {contest.dense.bytes:,} bytes. "
        f"Fitted to {contest.calibration_images:,} training images without their labels."
    )
    yield ""
    yield f"![Accuracy against byte ratio without retraining, {contest.model}](images/{contest_picture(contest)})"
    yield ""
    front = [
        p for p in contest.points if not any(q.bytes <= p.bytes and q.accuracy > p.accuracy for q in contest.points)
    ]
    yield "Those that no other beats in both bytes and accuracy (all others are in the picture):"
    yield ""
    yield from grid(
        ("method", "setting", "bytes", "byte ratio", "coefficient ratio", "accuracy", "drop"),
        [
            (p.method, f"`{p.setting}`", f"{p.bytes:,}", *_ratios(p), f"{p.accuracy:.2f} %", f"{p.drop:.2f}")
            for p in sorted(front, key=lambda p: p.bytes)
        ],
    )
    yield ""
    yield "```sh"
    yield contest.command
    yield "```"
    yield ""


def contest_picture(contest: Contest) -> str:
    """Return the file name of a contest's picture."""
    return f"results-no-retraining-{contest.model.split(':')[-1]}.svg"


def _ratios(point: Untrained) -> tuple[str, str]:
    """Write both ratios of a point."""
    return f"{point.byte_ratio:.1f}x", f"{point.coefficient_ratio:,.1f}x"


def _text(target: Sequence[Need]) -> str:
    return ", ".join(need.text for need in target)


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table in Markdown."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
