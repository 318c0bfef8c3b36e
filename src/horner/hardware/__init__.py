"""Arrays of processing elements: what layers cost on them, level by level. docs/hardware.md has the formulas."""

from horner.hardware import architecture, row_stationary
from horner.hardware.architecture import Architecture
from horner.hardware.cost import Accesses, Cycles, LayerCost
from horner.hardware.shape import ConvShape, Core
from horner.hardware.simulation import Simulation, compare, simulate

__all__ = [
    "Accesses",
    "Architecture",
    "ConvShape",
    "Core",
    "Cycles",
    "LayerCost",
    "Simulation",
    "architecture",
    "compare",
    "row_stationary",
    "simulate",
]
