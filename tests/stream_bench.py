"""What cocotb runs inside of a simulator: pixels in, logits out, both held up at random; see test_export.py."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


def image(name: str) -> list[int]:
    text = (Path(os.environ["RTL_FOLDER"]) / f"{os.environ['RTL_ARRAY']}.{name}.hex").read_text(encoding="utf-8")
    return [int(line, 16) for line in text.split()]


@cocotb.test()
async def logits(dut: Any) -> None:
    hold = random.Random(7)
    pixels, wanted = image("pixels"), image("logits")
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value, dut.pixels__valid.value, dut.logits__ready.value = 1, 0, 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    found: list[int] = []
    sent, offers = 0, False
    while len(found) < len(wanted):
        offers = sent < len(pixels) and (offers or hold.random() < 0.7)
        takes = hold.random() < 0.7
        dut.pixels__valid.value, dut.logits__ready.value = int(offers), int(takes)
        dut.pixels__payload.value = pixels[sent] if offers else 0
        await RisingEdge(dut.clk)
        if offers and dut.pixels__ready.value:
            sent, offers = sent + 1, False
        if takes and dut.logits__valid.value:
            found.append(dut.logits__payload.value.to_unsigned())
    assert found == wanted
