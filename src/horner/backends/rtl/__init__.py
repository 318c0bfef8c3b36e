"""An accelerator in Verilog: an array of processing elements that reuses sums, and Row Stationary beside it.

`design` lays a program out, `accelerator` and the blocks it is made of describe the hardware, `export` writes it,
`synthesis` counts what it takes and `simulation` runs it cycle by cycle.
"""

from importlib.util import find_spec

from horner.errors import MissingToolError

if find_spec("amaranth") is None:
    raise MissingToolError("amaranth is not installed: pip install 'horner[rtl]'")
