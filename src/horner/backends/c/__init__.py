"""C for microcontrollers and for this machine: generate it, write it, or compile and run it here.

``source`` and ``layers`` write portable C99 that streams through little memory; ``host`` writes vectors for the
processor it runs on, which is what `compile` compiles.
"""

from horner.backends.c.compiled import Compiled, compile  # noqa: A004
from horner.backends.c.source import CSource, generate, write

__all__ = ["CSource", "Compiled", "compile", "generate", "write"]
