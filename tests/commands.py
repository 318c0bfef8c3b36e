import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from horner.cli import main

GENTLE = "fc1: out=linear/4 row=quadratic; fc2: in=linear/4"
NOTICE = "are not the official ones"


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what is wrong, all notices apart."""
        (line,) = (line for line in self.err.splitlines() if NOTICE not in line)
        assert line.startswith("horner: ")
        return line.removeprefix("horner: ")

    @property
    def json(self) -> dict:
        assert self.code == 0, self.err
        assert len(self.out.splitlines()) == 1
        return json.loads(self.out)


def horner(*arguments: object) -> Result:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["horner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Result(ended.value.code, out.getvalue(), err.getvalue())


def start(*arguments: object, code: str = "", **options: object) -> subprocess.Popen:
    """Start a command in a process of its own, after some code."""
    script = f"import sys\n{code}\nsys.argv[0] = 'horner'\nfrom horner.cli import main\nmain()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def end(process: subprocess.Popen) -> Result:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return Result(process.returncode, out, err)


def approximating(data_dir: Path, dense: Path) -> list[object]:
    data = ["--data", "mnist", "--data-dir", data_dir]
    return ["approximate", "lenet5", *data, "--from", dense, "--plan", GENTLE, "--epochs", 0]
