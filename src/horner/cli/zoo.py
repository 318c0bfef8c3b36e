"""`horner zoo`: the programs that come with Horner."""

from __future__ import annotations

from horner.cli.console import show
from horner.cli.options import Json


def zoo(as_json: Json = False) -> None:
    """List the programs that come with Horner: `horner eval zoo:NAME` measures one again."""
    import msgspec

    from horner import zoo as programs

    if as_json:
        print(msgspec.json.encode(programs.entries()).decode())
    else:
        show(programs.table())
