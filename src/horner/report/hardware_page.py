"""One self-contained HTML page of what a program costs on arrays of processing elements."""

from __future__ import annotations

import os
import re
from pathlib import Path

from horner._files import expect_writable, write_atomic
from horner._templates import environment
from horner.errors import FileError, HornerError
from horner.report import hardware
from horner.report import hardware_tables as tables
from horner.report.hardware import Simulations
from horner.report.pictures import expect_matplotlib

TEMPLATES = Path(__file__).parent / "templates"


def expect(path: str | os.PathLike[str]) -> Path:
    """Find out before long work whether a page can be made and written.

    Raises
    ------
    HornerError
        When the name does not end in .html, the folder cannot be written, or matplotlib is missing.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise FileError(f"{path}: a page's name ends in .html")
    expect_matplotlib()
    return expect_writable(path)


def write(program: str, simulations: Simulations, path: str | os.PathLike[str]) -> Path:
    """Write the page whole or not at all.

    Parameters
    ----------
    program
        What the program is called.
    simulations
        On one array, or on the same with and without reuse; `horner.hardware.compare` makes them.

    Raises
    ------
    HornerError
        As `expect` does.
    """
    return write_atomic(expect(path), render(program, simulations))


def render(program: str, simulations: Simulations) -> str:
    """Return the page. It needs nothing from outside: no script, no font, no image."""
    if not simulations[0].layers:
        raise HornerError(f"{program} has no convolution and no fully connected layer, so nothing to report")
    return (
        environment(TEMPLATES, escapes=True)
        .get_template("hardware.html.jinja")
        .render(
            program=program,
            simulations=simulations,
            arch=simulations[0].arch,
            names=[hardware.name(simulation.arch) for simulation in simulations],
            reused=sum(shape.reuse is not None for shape in simulations[-1].shapes),
            coded=any(layer.accesses.dram < layer.dram_uncoded for s in simulations for layer in s.layers),
            totals=tables.totals(simulations),
            layers=[tables.side_by_side(simulations)] if len(simulations) > 1 else [],
            details=[table for each in simulations for table in (tables.times(each), tables.moves(each))],
            pictures={kind: inline(svg, kind) for kind, svg in hardware.as_svg(simulations).items()},
        )
    )


def inline(svg: str, kind: str) -> str:
    """Return an SVG as part of a page: without head and metadata, its identifiers led by what it shows.

    >>> inline('<?xml?><svg xmlns="..."><metadata>x</metadata><path id="a"/><use xlink:href="#a"/></svg>', "plot")
    '<svg role="img" aria-label="plot"><path id="plot-a"/><use xlink:href="#plot-a"/></svg>'
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->| xmlns(:\w+)?=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{kind}-", svg[svg.index("<svg") :])
    return svg.replace("<svg", f'<svg role="img" aria-label="{kind}"', 1).strip()
