"""Which layer a byte of an image belongs to.

By the names of functions and tables, and inside a function by what the compiler inlined into it from where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from horner.backends.c.firmware.elf import Image, Section, Symbol

SHARED = -1
"""The owner of what every layer may use, and of bytes that only align."""


@dataclass(frozen=True)
class Owners:
    """Numbers for those who own code and constants: the layers in order, then the network's own functions.

    Parameters
    ----------
    network
        The network's name in C.
    layers
        Its layers' names.
    """

    network: str
    layers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All owners, by number."""
        return (*self.layers, f"{self.network}_run")

    def of(self, name: str) -> int:
        """Return the owner of a function or table of that name, `SHARED` when it serves all.

        Examples
        --------
        >>> owners = Owners("net", ("conv1", "conv11"))
        >>> [owners.of(name) for name in ("conv1_core", "conv11_core.2", "net_run", "round_shift")]
        [0, 1, 2, -1]
        """
        if re.fullmatch(rf"{self.network}_(run|run_batch|init)", name):
            return len(self.layers)
        stem = name.partition(".")[0]
        return next((i for i, layer in enumerate(self.layers) if stem == layer or stem.startswith(f"{layer}_")), SHARED)


def owners_of_code(image: Image, owners: Owners) -> np.ndarray:
    """Return the owner of every byte of ``.text``, int16; functions that layers share keep `SHARED`."""
    section = image.sections[".text"]
    result = np.full(section.size, SHARED, np.int16)
    _paint(result, section, image.functions, owners)
    _paint(result, section, image.inlined, owners)
    return result


def owners_of_data(image: Image, section: str, owners: Owners) -> np.ndarray:
    """Return the owner of every byte of a section of tables or variables, int16."""
    found = image.sections.get(section)
    if found is None:
        return np.empty(0, np.int16)
    result = np.full(found.size, SHARED, np.int16)
    _paint(result, found, image.objects, owners)
    return result


def _paint(result: np.ndarray, section: Section, symbols: Iterable[Symbol], owners: Owners) -> None:
    for symbol in symbols:
        owner = owners.of(symbol.name)
        if owner != SHARED and section.address <= symbol.address < section.address + section.size:
            result[symbol.address - section.address : symbol.end - section.address] = owner
