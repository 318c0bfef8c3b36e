"""The text of plans: the short form of the command line, and TOML."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from horner._files import read_bytes
from horner.errors import FileError, HornerError, PlanError
from horner.plan import DEGREES, EVERYTHING, AxisPlan, LayerPlan, RankedPlan
from horner.program.schedule import AXES

Rules = tuple[tuple[str, LayerPlan], ...]
Words = dict[str, str]
"""What a rule says: every key with its value as written."""
Rule = tuple[str, Words, str]
"""Pattern, what it says, and where it stands."""

PRESETS = {"awf": ("col", None), "afsc": ("out", 4), "afmc": ("in", 4)}
"""Names of the literature: the axis and its default segment, linear."""

VECTORS = ("bias", "scale")
WIDTHS = ("bits", "bias_bits", "scale_bits")
SETTINGS = ("bits", "bias", "bias_bits", "scale", "scale_bits")
FLAGS = ("dense", "per_filter", "zero")
KEYS = (*AXES, "ranked", "dead", "map", "prune", "entropy", *SETTINGS)
REALS = ("dead", "prune", "entropy")
LARGEST_FILE = 1 << 20

LIKE_TOML = re.compile(r"""["']|^\s*\[[^:;]*\]\s*(#.*)?$|=\s*(true|false|\[)""", re.MULTILINE)
"""What TOML has and the short form has not: quotes, tables, truth values, lists."""


def read(text: str | os.PathLike[str], bits: int | None = None) -> Rules:
    """Return the rules of a path, of TOML text or of the short form; `bits` is what they inherit."""
    base = LayerPlan() if bits is None else LayerPlan(bits=bits)
    if not isinstance(text, str) or re.fullmatch(r"[^=;\n]*\.toml", text.strip()):
        path = Path(text.strip() if isinstance(text, str) else text)
        try:
            content = read_bytes(path, LARGEST_FILE).decode()
        except UnicodeDecodeError as error:
            raise FileError(f"{path} is not UTF-8 text (byte {error.start})") from error
        return _inherit(_read_toml(content, f"{path}: "), base)
    return _inherit(_read_toml(text, "") if LIKE_TOML.search(text) else _read_short(text), base)


def write(rules: Rules) -> str:
    """Return the short form of rules."""
    inherited = dict(rules).get(EVERYTHING, LayerPlan())
    return "; ".join(
        write_layer(plan) if pattern == EVERYTHING else f"{pattern}: {write_layer(plan, inherited)}"
        for pattern, plan in rules
    )


def write_layer(plan: LayerPlan, inherited: LayerPlan | None = None) -> str:
    """Return the short form of a layer's plan, without the settings it inherits."""
    words = _words(plan, inherited or LayerPlan())
    head = ["dense"] if plan.dense else []
    return " ".join(head + [f"{key}={value}" for key, value in words.items()])


def write_toml(rules: Rules) -> str:
    """Return rules, the one without a pattern first, as TOML."""
    inherited = dict(rules).get(EVERYTHING, LayerPlan())
    lines: list[str] = []
    for pattern, plan in rules:
        if pattern != EVERYTHING:
            lines += ["", f"[{json.dumps(pattern)}]"]
        words = _words(plan, LayerPlan() if pattern == EVERYTHING else inherited)
        if plan.dense and pattern == EVERYTHING:
            lines.append("dense = true")
        lines += [f"{key} = {value if key in (*WIDTHS, *REALS) else json.dumps(value)}" for key, value in words.items()]
    return "\n".join(lines).strip() + "\n"


def _words(plan: LayerPlan, inherited: LayerPlan) -> Words:
    """What a layer's plan says beyond what it inherits."""
    words = {name: str(axis) for name, axis in zip(AXES, plan.by_axis, strict=True) if axis is not None}
    if plan.ranked is not None:
        words["ranked"] = str(plan.ranked)
    if plan.map is not None:
        words["map"] = "{}x{}".format(*plan.map)
    if plan.prune:
        words["prune"] = repr(plan.prune)
    if plan.entropy is not None:
        words["entropy"] = repr(plan.entropy)
    for key in SETTINGS:
        value = getattr(plan, key)
        if value != getattr(inherited, key):
            words[key] = "dense" if value is None else str(value)
    return words


def _read_short(text: str) -> list[Rule]:
    rules: list[Rule] = []
    lines = [line.split("#")[0] for line in text.splitlines()]
    for number, rule in enumerate(filter(str.strip, re.split(r"[;\n]", "\n".join(lines))), 1):
        pattern, colon, body = rule.rpartition(":")
        pattern = pattern.strip()
        where = f"rule {number} ({' '.join(rule.split())})"
        if colon and not pattern:
            raise PlanError(f"{where}: the pattern before ':' is missing")
        if not body.strip():
            raise PlanError(
                f"{where}: nothing after {pattern}:; write {pattern}: dense to keep its weights as they are"
            )
        words: Words = {}
        for word in re.sub(r"\s*=\s*", "=", body).split():
            key, equals, value = word.partition("=")
            _say(words, _key(key, where) if equals else word, value if equals else None, where)
        rules.append((pattern or EVERYTHING, words, where))
    return rules


def _read_toml(text: str, source: str) -> list[Rule]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{source}not a plan in TOML: {error}") from error
    return list(_tables(document, "", source))


def _tables(table: Mapping[str, Any], pattern: str, source: str) -> Iterator[Rule]:
    """Every table that is a rule; [features.0] means the layer features.0 as ["features.0"] does."""
    children = {key: value for key, value in table.items() if isinstance(value, dict)}
    where = f"{source}table [{json.dumps(pattern)}]" if pattern else f"{source}before the first table"
    words: Words = {}
    for key, value in table.items():
        if key not in children:
            _say_toml(words, key, value, where)
    if words or (pattern and not children):
        yield pattern or EVERYTHING, words, where
    for key, value in children.items():
        yield from _tables(value, f"{pattern}.{key}" if pattern else key, source)


def _say_toml(words: Words, key: str, value: Any, where: str) -> None:
    flag = key.lower().replace("-", "_")
    if flag in FLAGS:
        if not isinstance(value, bool):
            raise PlanError(f"{where}: {key} is true or false, not {value!r}")
        if value:
            _say(words, flag, None, where)
        return
    if isinstance(value, list) and len(value) == 2 and key == "map":
        value = "{}x{}".format(*value)
    if isinstance(value, float) and flag in REALS:
        value = repr(value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise PlanError(f"{where}: {key} is a text or a whole number, not {value!r}")
    first, *more = str(value).split() or [""]
    if key == "preset":
        more = [first, *more]
    else:
        _say(words, _key(key, where), first, where)
    if more and key not in ("preset", "ranked"):
        raise PlanError(f"{where}: {key} is one word, not {value!r}")
    for word in more:
        name, equals, said = word.partition("=")
        _say(words, _key(name, where) if equals else word, said if equals else None, where)


def _say(words: Words, word: str, value: str | None, where: str) -> None:
    """Enter a key and its value, a flag, or what a preset stands for."""
    if value is None:
        word, value = word.lower().replace("-", "_"), "true"
        if word not in FLAGS:
            word, value = _preset(word, where)
    if word in words:
        raise PlanError(f"{where}: {word} is given twice")
    words[word] = value.lower()


def _key(key: str, where: str) -> str:
    lower = key.lower().replace("-", "_")
    if lower not in KEYS:
        near = difflib.get_close_matches(lower, KEYS, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise PlanError(f"{where}: no key {key!r}{hint} There are {', '.join(KEYS)}")
    return lower


def _preset(word: str, where: str) -> tuple[str, str]:
    """Return the axis and its text for awf, afsc, afmc, with /SEGMENT, /DEGREE or @NODES of their own."""
    name, *options = re.split(r"(?=[/@])", word)
    if name not in PRESETS:
        raise PlanError(
            f"{where}: {word!r} is not a preset ({', '.join(PRESETS)}), a flag ({', '.join(FLAGS)}) or KEY=VALUE"
        )
    axis, default = PRESETS[name]
    degree, segment, nodes = "linear", f"/{default}" if default else "", ""
    for option in options:
        if option[1:] in DEGREES:
            degree = option[1:]
        elif option.startswith("/"):
            segment = option
        else:
            nodes = option
    return axis, degree + segment + nodes


def _inherit(rules: list[Rule], base: LayerPlan) -> Rules:
    """Give every rule the settings of the rule without a pattern, and that one those of `base`."""
    if base != LayerPlan() and all(pattern != EVERYTHING for pattern, _, _ in rules):
        rules = [(EVERYTHING, {}, "default"), *rules]  # layers that no rule matches have settings too
    inherited = base
    for pattern, words, where in rules:
        if pattern == EVERYTHING:
            inherited = _layer(words, inherited, where)
    return tuple(
        (pattern, _layer(words, base if pattern == EVERYTHING else inherited, where)) for pattern, words, where in rules
    )


def _layer(words: Words, inherited: LayerPlan, where: str) -> LayerPlan:
    try:
        given: dict[str, Any] = {key: getattr(inherited, key) for key in SETTINGS}
        given.update({key: _whole(key, words[key]) for key in WIDTHS if key in words})
        given.update({key: _axis(key, words[key]) for key in (*AXES, *VECTORS) if key in words})
        if "in" in given:
            given["in_"] = given.pop("in")
        if "map" in words:
            given["map"] = _map(words["map"])
        given["prune"] = _real("prune", words, 0.0)
        given["entropy"] = _real("entropy", words) if "entropy" in words else None
        if "ranked" in words:
            dead = _real("dead", words, 1.0)
            given["ranked"] = _ranked(words["ranked"], "per_filter" in words, "zero" in words, dead)
        elif flag := next((flag for flag in ("zero", "per_filter", "dead") if flag in words), None):
            raise PlanError(f"{flag} is about ranked weights; add ranked=linear/4bit")
        plan = LayerPlan(**given)
        if "dense" in words and not plan.dense:
            raise PlanError("a dense layer has no axes and no ranked curve")
    except HornerError as error:
        raise PlanError(f"{where}: {error}") from None
    return plan


def _axis(key: str, text: str) -> AxisPlan | None:
    if text == "dense":
        return None
    found = re.fullmatch(r"([a-z]+)(?:/(\d{1,6}))?(?:@([a-z0-9]+))?", text)
    if not found or found[1] not in DEGREES:
        raise PlanError(f"axis {key}: {text!r} is not dense or {'|'.join(DEGREES)}[/SEGMENT][@pow2]")
    try:
        return AxisPlan(DEGREES.index(found[1]), int(found[2]) if found[2] else None, found[3] or "index")  # type: ignore[arg-type]
    except PlanError as error:
        raise PlanError(f"axis {key}: {error}") from None


def _ranked(text: str, per_filter: bool, zero: bool, dead: float) -> RankedPlan | None:
    if text == "dense":
        return None
    found = re.fullmatch(r"([a-z]+)/(\d{1,6})(bits?|levels?)?", text)
    if not found or found[1] not in DEGREES:
        raise PlanError(
            f"ranked={text} is not {'|'.join(DEGREES)}/BITSbit or /NUMBERlevel, for example ranked=linear/4bit"
        )
    make = RankedPlan.of if (found[3] or "").startswith("level") else RankedPlan
    return make(DEGREES.index(found[1]), int(found[2]), per_filter, zero, dead)


def _map(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not found:
        raise PlanError(f"map={text} is not ROWSxCOLUMNS, for example map=5x5")
    return int(found[1]), int(found[2])


def _real(key: str, words: Words, default: float = 0.0) -> float:
    if key not in words:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d{1,21})?(e-\d{1,2})?", words[key]):
        raise PlanError(f"{key}={words[key]} is not a number")
    return float(words[key])


def _whole(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text):
        raise PlanError(f"{key}={text} is not a whole number")
    return int(text)
