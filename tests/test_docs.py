"""The manual is true: its snippets, commands and C run here, in order, page by page, on the embedded digits."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from horner import cli
from horner._plan_text import FLAGS, KEYS, PRESETS

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))
MATCHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
RUN = (
    "README.md",
    "docs/concepts.md",
    "docs/hardware.md",
    "docs/microcontrollers.md",
    "docs/plans.md",
    "docs/tutorial.md",
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text and place."""

    language: str
    text: str
    place: str

    @property
    def file(self) -> str | None:
        """The file that a block is the content of: its first line, a comment, is nothing but the name."""
        found = re.match(r"(?:#|/\*|//) ([\w.]+\.\w+)(?: \*/)?$", self.text.splitlines()[0]) if self.text else None
        return found[1] if found else None


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    text = read(page)
    return [
        Block(found[1], found[2], f"{page}:{text.count(chr(10), 0, found.start()) + 1}")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all pages: a compiler that is cold takes its time."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def desk(tmp_path, cache, monkeypatch):
    """A folder with the demonstration's file, no network, this environment's tools and a C compiler."""
    tools = tmp_path / "tools"
    tools.mkdir()
    if shutil.which("cc") is None:
        (tools / "cc").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ziglang cc "$@"\n')
        (tools / "cc").chmod(0o755)
    work = tmp_path / "work"
    (work / "demo").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "data" / "lenet5.horner", work / "demo")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("HORNER_OFFLINE", "1")
    monkeypatch.setenv("HORNER_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.delenv("HORNER_DATA", raising=False)
    known = set(sys.modules)
    yield work
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(work)):
            del sys.modules[name]


@pytest.mark.parametrize("page", RUN)
def test_everything_on_a_page_runs(page, desk, capfd, monkeypatch):
    scope: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.file:
            (desk / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and ">>>" in block.text:
            check_session(block, scope)
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), scope)
        elif block.language == "console":
            check_console(block, capfd, monkeypatch)


def check_session(block, scope):
    test = doctest.DocTestParser().get_doctest(block.text, scope, block.place, None, 0)
    said: list[str] = []
    # the scope is shared by a page's blocks, so the session must not clear it
    outcome = doctest.DocTestRunner(optionflags=MATCHING).run(test, out=said.append, clear_globs=False)
    scope.update(test.globs)
    assert outcome.attempted
    assert not outcome.failed, "".join(said)


def check_console(block, capfd, monkeypatch):
    for command, wanted in re.findall(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        got = run(command.replace("\\\n", " "), capfd, monkeypatch)
        if wanted.strip():
            matches = doctest.OutputChecker().check_output(wanted, got, MATCHING)
            assert matches, f"{block.place}: {command}\nwanted:\n{wanted}\ngot:\n{got}"


def run(command, capfd, monkeypatch):
    """Run a command; `horner` in this process, which has loaded PyTorch already."""
    if not command.startswith("horner "):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout
    capfd.readouterr()
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    assert ended.value.code in (0, None), f"{command}\n{err}"
    return out


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{page}: {target}"


def anchors(text):
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_commands_to_set_up_name_what_there_is():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    setup = [block.text for page in RUN for block in blocks(page) if block.language == "sh"]
    assert setup
    for text in setup:
        assert set(re.findall(r"^make (\w+)", text, re.MULTILINE)) <= targets
        for named in re.findall(r"\.\[([\w,]+)\]", text):
            assert set(named.split(",")) <= extras


def test_every_language_of_a_block_is_one_that_is_looked_at():
    known = {"python", "console", "toml", "c", "sh", "text", "bibtex"}
    assert {block.language for page in RUN for block in blocks(page)} <= known


def test_the_readme_lists_every_verb_and_no_other():
    verbs = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `horner (\w+)", read("README.md"), re.MULTILINE)) == verbs


def test_the_readme_has_a_place_for_the_demonstration():
    assert re.search(r"<!-- demo output -->\n.+\n<!-- /demo output -->", read("README.md"), re.DOTALL)


def test_the_plan_language_is_described_in_full():
    page = read("docs/plans.md")
    for word in (*KEYS, *FLAGS, *PRESETS):
        assert f"`{word}" in page or re.search(rf"^ +{word}=", page, re.MULTILINE), word


def test_every_picture_is_drawn_by_the_tool_and_shown():
    drawn = set(re.findall(r'folder / "([\w-]+\.png)"', (ROOT / "tools/make_pictures.py").read_text()))
    assert drawn == {path.name for path in (ROOT / "docs/images").glob("*.png")}
    shown = read("docs/concepts.md") + read("docs/hardware.md")
    assert drawn == set(re.findall(r"!\[[^\]]+\]\(images/([\w-]+\.png)\)", shown))
