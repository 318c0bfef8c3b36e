"""From generated C to an image for a chip: its flash and RAM before flashing, its instructions under an emulator.

Needs ``pip install 'horner[mcu]'``: zig compiles and links, pyelftools reads the image, unicorn runs it.
"""

from horner.backends.c.firmware.footprint import Footprint, footprint, footprint_of
from horner.backends.c.firmware.image import Firmware, build
from horner.backends.c.firmware.simulation import Simulation, simulate

__all__ = ["Firmware", "Footprint", "Simulation", "build", "footprint", "footprint_of", "simulate"]
