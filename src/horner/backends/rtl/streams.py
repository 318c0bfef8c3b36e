"""What travels between blocks: valid/ready streams of vectors of signed numbers."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data, stream


def vector(width: int, lanes: int) -> data.ArrayLayout:
    """Return the layout of `lanes` signed numbers of `width` bits."""
    return data.ArrayLayout(signed(width), lanes)


def vectors(width: int, lanes: int) -> stream.Signature:
    """Return a stream of vectors."""
    return stream.Signature(vector(width, lanes))


def numbers(width: int) -> stream.Signature:
    """Return a stream of signed numbers."""
    return stream.Signature(signed(width))


def bits(magnitude: int) -> int:
    """Return how many bits a signed number of at most this magnitude needs.

    >>> [bits(magnitude) for magnitude in (0, 1, 127, 128)]
    [1, 2, 8, 9]
    """
    return magnitude.bit_length() + 1
