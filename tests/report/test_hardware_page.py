"""The page is whole, well formed, and needs nothing but itself."""

import dataclasses
import re
import sys
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from horner.errors import ArchitectureError, HornerError
from horner.hardware import architecture, compare, simulation
from horner.report import hardware_page

EYERISS = architecture.load("eyeriss")
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Elements, their attributes and their text; every element is closed where it was opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def simulations(program):
    return compare(program, EYERISS)


@pytest.fixture(scope="module")
def text(simulations):
    return hardware_page.render("net", simulations)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_layer_and_all_totals_are_there(page, simulations):
    for found in simulations:
        total = found.to_dict()["total"]
        for number in (total["cycles"], total["macs"], total["dram_bytes"], sum(total["energy"].values())):
            assert f"{number:,.0f}" in page.texts
        for number, layer in enumerate(found.layers, 1):
            assert f"{number} {layer.name}" in page.texts
            assert f"{layer.cycles.total:,}" in page.texts
    assert f"{simulations[0].cycles / simulations[1].cycles:,.2f}" in page.texts
    assert "net on an array of 12x14 processing elements" in page.texts


def test_rows_are_as_long_as_their_headings(text):
    for table in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        rows = [len(re.findall("<t[hd]", row)) for row in re.findall("<tr.*?</tr>", table, re.DOTALL)]
        assert len(set(rows)) == 1


def test_nothing_comes_from_outside(page, text):
    assert {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "image"} == set()
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert "http" not in text
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_identifiers_are_unique_and_those_referred_to_exist(page, text):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(names)
    assert [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"] == [
        "energy",
        "roofline",
        "occupation",
    ]


def test_names_are_escaped(simulations):
    bad = "<script>alert('&')</script>"
    layers = tuple(dataclasses.replace(layer, name=bad) for layer in simulations[0].layers)
    page = Page(hardware_page.render(bad, [dataclasses.replace(simulations[0], layers=layers)]))
    assert "script" not in {tag for tag, _ in page.elements}
    assert f"{bad} on an array of 12x14 processing elements" in page.texts
    assert f"1 {bad}" in page.texts


def test_an_array_whose_other_setting_cannot_do_the_program_stands_alone(program, monkeypatch):
    search = simulation.search

    def no_reuse(shape, *rest):
        if shape.reuse:
            raise ArchitectureError(f"{shape.name}: too large")
        return search(shape, *rest)

    monkeypatch.setattr(simulation, "search", no_reuse)
    (alone,) = compare(program, EYERISS)
    assert alone.arch == EYERISS
    text = hardware_page.render("net", [alone])
    assert "with reuse cannot do one of the layers" in Page(text).texts[3]
    assert "side by side" not in text
    with pytest.raises(ArchitectureError, match="too large"):
        compare(program, msgspec.structs.replace(EYERISS, reuses=True))


def test_the_page_says_whether_dram_is_coded(program, simulations, text):
    assert "run-length coding saves nothing" in text.replace("\n", " ")
    dark = np.full((1, *program.input.shape), program.input.zero_point, np.int8)
    coded = hardware_page.render("net", compare(program, EYERISS, images=dark))
    assert "with the zeros of the images given" in coded.replace("\n", " ")


def test_only_html_is_written_and_whole(simulations, tmp_path, monkeypatch):
    with pytest.raises(HornerError, match=r"net\.pdf: a page's name ends in \.html"):
        hardware_page.write("net", simulations, tmp_path / "net.pdf")
    path = hardware_page.write("net", simulations, tmp_path / "new" / "net.html")
    assert path.read_text().endswith("</html>\n")
    with pytest.raises(HornerError, match=r"cannot write .*net\.html/page\.html: Not a directory"):
        hardware_page.write("net", simulations, path / "page.html")
    former = path.read_text()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HornerError, match=r"pip install 'horner\[report\]'"):
        hardware_page.write("net", simulations, path)
    assert path.read_text() == former
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["net.html"]


def test_a_program_without_layers_to_multiply_is_refused(simulations):
    with pytest.raises(HornerError, match="net has no convolution and no fully connected layer"):
        hardware_page.render("net", [dataclasses.replace(simulations[0], layers=(), shapes=())])
