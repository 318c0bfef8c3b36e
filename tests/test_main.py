import runpy
import sys

import pytest


class Interrupted:
    """A finder of modules during whose work Ctrl-C is pressed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "horner.cli":
            raise KeyboardInterrupt


def test_ctrl_c_is_one_line_while_the_command_line_is_still_being_imported(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "horner.cli", raising=False)
    monkeypatch.delitem(sys.modules, "horner.__main__", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    with pytest.raises(SystemExit, match="130"):
        runpy.run_module("horner", run_name="__main__")
    assert capsys.readouterr() == ("", "horner: interrupted\n")


def test_the_module_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["horner", "--version"])
    monkeypatch.delitem(sys.modules, "horner.__main__", raising=False)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("horner", run_name="__main__")
    assert capsys.readouterr().out.startswith("horner ")
