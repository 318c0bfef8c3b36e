import io

import torch
from rich.console import Console

from horner.training.progress import shown
from horner.training.result import Epoch


def run(console: Console, visible: bool = True) -> str:
    with shown(visible, 2, 3, console) as display:
        for epoch in range(2):
            for step in range(3):
                display.step(epoch, epoch * 3 + step + 1, torch.tensor(12.0), 8)
            display.epoch(epoch, Epoch(1.5, 97.25, 3.0))
    return console.file.getvalue()


def test_a_log_gets_one_line_an_epoch():
    text = run(Console(file=io.StringIO(), width=40))
    assert text.splitlines() == [
        "epoch 1/2  loss 1.5000  validation 97.25 %  3.0 s",
        "epoch 2/2  loss 1.5000  validation 97.25 %  3.0 s",
    ]


def test_a_terminal_gets_a_bar():
    text = run(Console(file=io.StringIO(), force_terminal=True, width=100))
    assert "epoch 2/2" in text
    assert "loss 1.5000" in text
    assert "validation 97.25 %" in text


def test_silence():
    assert run(Console(file=io.StringIO(), force_terminal=True), visible=False) == ""
