"""What runs a program, or writes it in another language: NumPy (the golden reference), C99, and Verilog."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horner.backends import c, reference, rtl

__all__ = ["c", "reference", "rtl"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # a backend is imported when it is first asked for
        return import_module(f"horner.backends.{name}")
    raise AttributeError(f"module 'horner.backends' has no attribute {name!r}")
