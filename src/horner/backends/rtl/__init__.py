"""An accelerator in Verilog: an array of processing elements that reuses sums, and Row Stationary beside it.

`design` lays a program out, every layer as a `step` with its `settings`; `accelerator` and the blocks it is made of
describe the hardware, `export` writes it, `synthesis` counts what it takes, `simulation` runs it cycle by cycle, and
`comparison` both arrays side by side.
"""

from importlib.util import find_spec

from horner.errors import MissingToolError

if find_spec("amaranth") is None:
    raise MissingToolError("amaranth is not installed: pip install 'horner[rtl]'")
