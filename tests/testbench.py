"""Drives blocks with valid/ready streams in Amaranth's simulator; either side may hold the other up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from amaranth.lib import wiring
from amaranth.sim import Simulator

PATIENCE = 3000


def drive(
    block: wiring.Component,
    settings: dict[str, int],
    source: str,
    items: Iterable[Any],
    sink: str,
    wanted: int,
    generator: np.random.Generator,
    hold: float = 0.3,
) -> list[Any]:
    """Start a block, send items, and return as many results, as Python numbers; each side pauses at random.

    A block without a start input needs none. Checks that what is offered stays offered, unchanged, until it is taken.
    """
    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    offered, taken = (getattr(block, name) for name in (source, sink))
    results: list[Any] = []

    async def begin(ctx: Any) -> None:
        for name, value in settings.items():
            ctx.set(getattr(block, name), value)
        if hasattr(block, "start"):
            ctx.set(block.start, 1)
            await ctx.tick()
            ctx.set(block.start, 0)

    async def sends(ctx: Any) -> None:
        await begin(ctx)
        for item in items:
            while generator.random() < hold:
                await ctx.tick()
            ctx.set(offered.payload, item)
            ctx.set(offered.valid, 1)
            ready = False
            while not ready:
                *_, ready = await ctx.tick().sample(offered.ready)
            ctx.set(offered.valid, 0)

    async def takes(ctx: Any) -> None:
        await ctx.tick()
        waited, held = 0, None
        while len(results) < wanted:
            ready = generator.random() >= hold
            ctx.set(taken.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(taken.valid, taken.payload)
            value = plain(payload) if valid else None
            assert held is None or value == held, "an offer was withdrawn or changed"
            held = None if ready else value
            if valid and ready:
                results.append(value)
            waited = 0 if valid else waited + 1
            assert waited < PATIENCE, f"nothing came after {len(results)} of {wanted} results"

    simulator.add_testbench(sends, background=True)
    simulator.add_testbench(takes)
    simulator.run()
    return results


def plain(value: Any) -> Any:
    """Return a payload as a number, or as lists of numbers."""
    try:
        return int(value)
    except TypeError:
        return [plain(part) for part in value]
