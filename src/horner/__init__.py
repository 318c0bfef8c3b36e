"""Horner: polynomial weights, shared sums, honest bytes."""

__version__ = "0.1.0"
