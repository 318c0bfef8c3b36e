"""The one way templates are read: blocks leave no lines, and a name that nobody gave is an error."""

from __future__ import annotations

from pathlib import Path

import jinja2


def environment(folder: Path, escapes: bool = False) -> jinja2.Environment:
    """Return an environment of its own for the templates of a folder.

    Parameters
    ----------
    escapes
        Whether what is filled in is text to HTML; everything else is taken as it is.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=escapes,
    )
