"""Horner: polynomial weights, shared sums, honest bytes.

The public names. Each is imported when it is first asked for, so that ``import horner`` costs nothing and what
needs no PyTorch (loading, running, accounting for and compiling a program) never imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from horner.errors import (
    ArchitectureError,
    CompileError,
    DataError,
    FileError,
    HornerError,
    InterruptedTrainingError,
    MissingToolError,
    ModelError,
    PlanError,
    PresetError,
    ProgramError,
    SearchError,
    SimulationError,
    TrainingError,
)

if TYPE_CHECKING:
    from horner import backends, data, hardware, models, training
    from horner.approximation.api import approximate_, fold_
    from horner.approximation.arrange import arrange_
    from horner.approximation.fit import fit_
    from horner.backends.c import compile  # noqa: A004
    from horner.frontend.convert import quantised, to_program
    from horner.plan import Plan
    from horner.program.account import account
    from horner.program.file import load, save
    from horner.program.program import Program

__version__ = "0.1.0"

__all__ = [
    "ArchitectureError",
    "CompileError",
    "DataError",
    "FileError",
    "HornerError",
    "InterruptedTrainingError",
    "MissingToolError",
    "ModelError",
    "Plan",
    "PlanError",
    "PresetError",
    "Program",
    "ProgramError",
    "SearchError",
    "SimulationError",
    "TrainingError",
    "__version__",
    "account",
    "approximate_",
    "arrange_",
    "backends",
    "compile",
    "data",
    "fit_",
    "fold_",
    "hardware",
    "load",
    "models",
    "quantised",
    "save",
    "to_program",
    "training",
]

_HOMES = {
    "Plan": "horner.plan",
    "Program": "horner.program.program",
    "account": "horner.program.account",
    "approximate_": "horner.approximation.api",
    "arrange_": "horner.approximation.arrange",
    "compile": "horner.backends.c",
    "fit_": "horner.approximation.fit",
    "fold_": "horner.approximation.api",
    "load": "horner.program.file",
    "quantised": "horner.frontend.convert",
    "save": "horner.program.file",
    "to_program": "horner.frontend.convert",
}
_PACKAGES = ("backends", "data", "hardware", "models", "training")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"horner.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'horner' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
