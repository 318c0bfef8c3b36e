"""Write docs/results.md and its pictures from results/; with folders of `.horner` files, fill the zoo from them too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from horner._files import write_atomic
from tools.results import curves, page, zoo
from tools.results.evidence import gather

ROOT = Path(__file__).parent.parent.parent


def main(
    zoo_from: Annotated[
        list[Path] | None, typer.Option("--zoo", help="A folder with the files of recorded runs, for the zoo.")
    ] = None,
) -> None:
    """Generate the page of results, and fill the zoo."""
    evidence = gather(ROOT / "results")
    target = ROOT / "docs" / "results.md"
    write_atomic(target, page.insert(target.read_text(), page.write(evidence)))
    written = [target, *curves.draw(evidence, target.parent / "images")]
    if zoo_from:
        written += zoo.fill(evidence, zoo_from, ROOT / "src" / "horner" / "zoo")
    for path in written:
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    typer.run(main)
