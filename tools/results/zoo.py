"""Fill the zoo: of each preset with a row, the file of the seed that is best on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from horner._files import write_atomic
from horner.errors import FileError
from horner.record import Record, sha256
from horner.zoo import INDEX, Entry
from tools.results.evidence import Evidence, Runs

MOST_LOST = 5.0
"""Points of accuracy below the dense network; a file that lost more is evidence, not for use."""


def fill(evidence: Evidence, sources: Sequence[Path], folder: Path) -> list[Path]:
    """Copy the files of the best runs and write the index; files that are there already need no source.

    Parameters
    ----------
    sources
        Folders, looked through to the bottom for files by their content.

    Raises
    ------
    FileError
        When none of them has a file that is wanted.
    """
    recorded = [group for row in evidence.rows for group in evidence.runs[row.name] if group.runs]
    groups = [group for group in recorded if best(group).drop <= MOST_LOST]
    there = {sha256(path): path for source in (*sources, folder) for path in sorted(source.rglob("*.horner"))}
    entries: dict[str, Entry] = {}
    contents: dict[Path, bytes | str] = {}
    for group in groups:
        run = best(group)
        if run.sha256 not in there:
            asked = ", ".join(map(str, sources))
            raise FileError(f"the file of {group.preset}, seed {run.seed}, sha256 {run.sha256}, is not in {asked}")
        entries[group.preset] = entry(group, run)
        contents[folder / f"{group.preset}.horner"] = there[run.sha256].read_bytes()
    for path in set(folder.glob("*.horner")) - contents.keys():
        path.unlink()
    index = msgspec.json.format(msgspec.json.encode(entries), indent=1).decode() + "\n"
    contents[folder / INDEX] = index
    return [write_atomic(path, content) for path, content in contents.items()]


def best(group: Runs) -> Record:
    """Return the run that is best on the validation split (those without one come last); of equals the first seed."""
    return max(group.runs, key=lambda run: run.accuracy["reference"].validation or 0.0)


def entry(group: Runs, run: Record) -> Entry:
    """Return what the index says of a run."""
    return Entry(
        title=group.recipe.title,
        model=run.recipe.model,
        data=run.recipe.data,
        seed=run.seed,
        reading=group.recipe.reading,
        file_bytes=run.account["file_bytes"],
        byte_ratio=round(run.account["byte_ratio"], 2),
        coefficient_ratio=round(run.account["coefficient_ratio"], 2),
        accuracy=run.accuracy["reference"].test,
        drop=run.drop,
        n=run.images["test"],
        sha256=run.sha256,
    )
