"""The kinds of layers, each in its own file, each registered with `horner.backends.c.part.part`."""

from horner.backends.c.layers import add, average_pool, concat, conv, flatten, max_pool

__all__ = ["add", "average_pool", "concat", "conv", "flatten", "max_pool"]
