"""C99 for microcontrollers and hosts: generate it, write it, or compile and run it here.

A layer's kind is one small file under ``layers`` and one template under ``templates``.
"""

from horner.backends.c.compiled import Compiled, compile  # noqa: A004
from horner.backends.c.source import CSource, generate, write

__all__ = ["CSource", "Compiled", "compile", "generate", "write"]
