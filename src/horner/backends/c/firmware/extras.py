"""The packages of ``horner[mcu]``, asked for when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from horner.errors import MissingToolError

REMEDY = "pip install 'horner[mcu]'"


def need(module: str, purpose: str, remedy: str = REMEDY) -> ModuleType:
    """Import a module of an extra.

    Raises
    ------
    MissingToolError
        When it is not installed, with the command that installs it.

    Examples
    --------
    >>> need("no_such_module", "flying")
    Traceback (most recent call last):
      ...
    horner.errors.MissingToolError: flying needs no_such_module: pip install 'horner[mcu]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingToolError(f"{purpose} needs {module.partition('.')[0]}: {remedy}") from error


def expect_zig(purpose: str) -> None:
    """Refuse to go on without the cross compiler.

    Raises
    ------
    MissingToolError
        When ``ziglang`` is not installed.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise MissingToolError(f"{purpose} needs ziglang: {REMEDY}")
