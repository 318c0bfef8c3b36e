"""Whole networks on arrays."""

import msgspec
import pytest
from hypothesis import given
from strategies import programs

from horner.errors import ArchitectureError
from horner.hardware import architecture
from horner.hardware.row_stationary import merit, search
from horner.hardware.simulation import simulate
from horner.hardware.workload import shapes

EYERISS, REUSE = architecture.load("eyeriss"), architecture.load("reuse")


def test_what_differs_between_the_two_arrays_is_the_reuse():
    assert msgspec.structs.replace(EYERISS, reuses=True) == REUSE


@given(programs(integer=True))
def test_reuse_is_never_worse_than_row_stationary_and_totals_are_sums(program):
    try:
        dense, reuse = simulate(program, EYERISS), simulate(program, REUSE)
    except ArchitectureError:
        return  # strides, dilations: tests/hardware/test_workload.py
    for plain, shared in zip(dense.layers, reuse.layers, strict=True):
        assert plain.additions == 0
        assert merit(REUSE)(shared) <= merit(EYERISS)(plain)
    numbers = reuse.to_dict()
    assert [layer["name"] for layer in numbers["layers"]] == [name for name, _ in program.convolutions()]
    for key in ("macs", "additions", "dram_bytes"):
        assert numbers["total"][key] == pytest.approx(sum(layer[key] for layer in numbers["layers"]))
    assert numbers["total"]["cycles"] == sum(layer["cycles"]["total"] for layer in numbers["layers"])
    energies = [sum(layer["energy"].values()) for layer in numbers["layers"]]
    assert sum(reuse.energy.values()) == pytest.approx(sum(energies))


@given(programs(integer=True, most_layers=2))
def test_a_batch_costs_at_most_as_much_as_its_images_one_by_one(program):
    try:
        one = [search(ways[0], EYERISS) for ways in shapes(program).values()]
    except ArchitectureError:
        return
    four = simulate(program, EYERISS, batch=4)
    for single, together in zip(one, four.layers, strict=True):
        assert together.macs == 4 * single.macs
        assert merit(EYERISS)(together)[0] <= 16 * merit(EYERISS)(single)[0] * 1.001
