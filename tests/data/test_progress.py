import pytest

from horner.data.progress import counting, transfer


@pytest.mark.parametrize(("bar", "far"), [(transfer, "0.5/1.0 kB"), (counting, " 500/1000")])
def test_a_terminal_sees_the_title_and_how_far_it_is(bar, far, monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with bar("fetching digits") as report:
        report(500, 1000)
    shown = capsys.readouterr()
    assert "fetching digits" in shown.err
    assert far in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("bar", [transfer, counting])
def test_a_pipe_sees_nothing(bar, monkeypatch, capsys):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with bar("fetching digits") as report:
        report(500, 1000)
    assert capsys.readouterr() == ("", "")
