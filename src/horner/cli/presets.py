"""`horner presets`: the recipes that come with Horner."""

from __future__ import annotations

from typing import Annotated

import typer

from horner.cli.console import show
from horner.cli.options import Json


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="show all of this one", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recipes that `train` and `approximate` follow with --preset, or show one."""
    import msgspec

    from horner import presets as recipes

    chosen = {each: recipes.get(each) for each in ([name] if name else recipes.names())}
    if as_json:
        print(msgspec.json.encode(chosen).decode())
    elif name:
        print(recipes.text(name))
    else:
        show(recipes.table())
