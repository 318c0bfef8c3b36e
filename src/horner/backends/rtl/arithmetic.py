"""Adders and multipliers of the data path, modules of their own: a netlist tells them from counters by name."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ADDER, MULTIPLIER = "adder", "multiplier"
"""What the names of their instances begin with."""


class Adder(wiring.Component):
    """The sum of two signed numbers, in as many bits as it is given."""

    def __init__(self, left: int, right: int, total: int) -> None:
        super().__init__({"left": In(signed(left)), "right": In(signed(right)), "total": Out(signed(total))})

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        m.d.comb += self.total.eq(self.left + self.right)
        return m


class Multiplier(wiring.Component):
    """The product of two signed numbers."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__({"left": In(signed(left)), "right": In(signed(right)), "product": Out(signed(left + right))})

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        m.d.comb += self.product.eq(self.left * self.right)
        return m


def add(m: Module, name: str, left: Value, right: Value, total: int) -> Signal:
    """Return the sum of two signed values, of an `Adder` that is named; call it where no condition holds."""
    adder = m.submodules[f"{ADDER}_{name}"] = Adder(len(left), len(right), total)
    m.d.comb += [adder.left.eq(left), adder.right.eq(right)]
    return adder.total


def multiply(m: Module, name: str, left: Value, right: Value) -> Signal:
    """Return the product of two signed values, of a `Multiplier` that is named; call it where no condition holds."""
    multiplier = m.submodules[f"{MULTIPLIER}_{name}"] = Multiplier(len(left), len(right))
    m.d.comb += [multiplier.left.eq(left), multiplier.right.eq(right)]
    return multiplier.product
