"""From accumulators to activations: bias, multiplier, rounding shift, clamp."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from horner.backends.rtl.arithmetic import add, multiply
from horner.backends.rtl.memories import make
from horner.backends.rtl.streams import numbers


class Requantise(wiring.Component):
    """``saturate(round_shift((sum + bias) * multiplier, shift) + zero, low, high)``, an activation a cycle.

    Halves round away from zero, as `horner.program.integer.round_shift` says it.

    Parameters
    ----------
    width
        Bits of a sum, bias included.
    shift
        The same for all layers.
    filters
        (bias, multiplier) of every filter of every layer, one after the other.
    multiplier
        Bits of a multiplier.
    """

    def __init__(self, width: int, shift: int, multiplier: int, filters: list[tuple[int, int]]) -> None:
        self.width, self.shift, self.multiplier, self.filters = width, shift, multiplier, filters
        super().__init__(
            {
                "start": In(1),
                "base": In(range(len(filters))),
                "filters_last": In(range(len(filters))),
                "zero": In(signed(8)),
                "low": In(signed(8)),
                "high": In(signed(8)),
                "sums": In(numbers(width)),
                "activations": Out(numbers(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the module."""
        m = Module()
        layout = data.StructLayout({"bias": signed(self.width), "multiplier": signed(self.multiplier)})
        m.submodules.filters = store = make(
            layout,
            len(self.filters),
            [{"bias": bias, "multiplier": multiplier} for bias, multiplier in self.filters],
        )
        read = store.read_port()
        go = Signal()
        m.d.comb += go.eq(~self.activations.valid | self.activations.ready)
        m.d.comb += self.sums.ready.eq(go)

        index = Signal.like(self.filters_last)
        at = Signal.like(self.base)
        m.d.comb += [read.en.eq(go), read.addr.eq(at)]
        with m.If(go & self.sums.valid):
            last = index == self.filters_last
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), at.eq(Mux(last, self.base, at + 1))]
        with m.If(self.start):
            m.d.sync += [index.eq(0), at.eq(self.base)]

        sum_, biased = Signal(signed(self.width)), Signal(signed(self.width))
        factor = Signal(signed(self.multiplier))
        product = Signal(signed(self.width + self.multiplier))
        rounded = Signal(signed(max(self.width + self.multiplier - self.shift, 1) + 1))
        shifted = Signal(signed(max(len(rounded), 8) + 1))
        valid = self.sums.valid
        half = Signal(signed(self.shift + 1))
        m.d.comb += half.eq((1 << self.shift >> 1) - (product < 0 if self.shift else 0))
        m.d.comb += rounded.eq(add(m, "half", product, half, len(product) + 1) >> self.shift)
        with_bias = add(m, "bias", sum_, read.data.bias, self.width)
        scaled = multiply(m, "scale", biased, factor)
        with_zero = add(m, "zero", rounded, self.zero, len(shifted))
        with m.If(go):
            m.d.sync += [sum_.eq(self.sums.payload), factor.eq(read.data.multiplier)]
            m.d.sync += [biased.eq(with_bias), product.eq(scaled), shifted.eq(with_zero)]
            m.d.sync += self.activations.payload.eq(
                Mux(shifted < self.low, self.low, Mux(shifted > self.high, self.high, shifted))
            )
            for stage in range(4):
                later = Signal(name=f"valid{stage}")
                m.d.sync += later.eq(valid)
                valid = later
            m.d.sync += self.activations.valid.eq(valid)
        return m
