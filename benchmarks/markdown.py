"""Generated parts of documents: tables, and their places between markers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table.

    >>> list(grid(("", "words"), [("CONV1", "3")]))
    ['|  | words |', '|---|---|', '| CONV1 | 3 |']
    """
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def insert(text: str, parts: Mapping[str, str]) -> str:
    r"""Return a document with other generated parts, by name.

    Raises
    ------
    ValueError
        When the document has no such part.

    >>> insert("before\n<!-- x -->\n\nold\n\n<!-- /x -->\n", {"x": "new"})
    'before\n<!-- x -->\n\nnew\n\n<!-- /x -->\n'
    """
    for name, lines in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the document must have the lines {begin} and {end} once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{lines}\n\n{end}{rest.split(end)[1]}"
    return text
