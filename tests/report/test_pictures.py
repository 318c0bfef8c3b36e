"""Pictures are real files of their kind, whole or not there at all."""

import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from PIL import Image

from horner.basis import Axis
from horner.errors import HornerError
from horner.program.file import breakdown
from horner.report import pictures

AXIS = Axis(10, segment=4, degree=1)
LINES = np.random.default_rng(0).normal(size=(4, 10))


def draw_polynomials(path, axis=AXIS):
    basis = axis.matrix
    fitted = LINES @ np.linalg.pinv(basis).T @ basis.T
    return pictures.polynomials(LINES, fitted, axis, path, titles=["one", "two"])


def texts(path):
    """What an SVG file says, from the comment that stands before every text's outline."""
    root = ET.parse(path, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))).getroot()
    return [node.text.strip() for node in root.iter() if node.tag is ET.Comment]


def test_png_has_the_size_of_its_figure(tmp_path):
    path = draw_polynomials(tmp_path / "p.png")
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == (3 * 450, 2 * 285 + 60)  # 150 dots per inch


def test_svg_holds_what_was_drawn_and_is_the_same_every_time(tmp_path):
    first, second = draw_polynomials(tmp_path / "a.svg"), draw_polynomials(tmp_path / "b.svg")
    assert first.read_bytes() == second.read_bytes()
    assert {"one", "two", "dense weight", "polynomial", "position along the axis"} <= set(texts(first))


def test_pdf_is_the_same_every_time(tmp_path):
    first, second = draw_polynomials(tmp_path / "a.pdf"), draw_polynomials(tmp_path / "b.PDF")
    assert first.read_bytes().startswith(b"%PDF")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "axis",
    [Axis(10), Axis(10, degree=0), Axis(10, degree=2), Axis(10, 4, 2, "pow2"), Axis(10, 9, 2), Axis(10, 1, 1)],
    ids=str,
)
def test_every_axis_can_be_drawn(tmp_path, axis):
    with Image.open(draw_polynomials(tmp_path / "p.png", axis)) as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10


@pytest.mark.parametrize("axis", [Axis(10, 4, 2), Axis(10, 5, 2, "pow2"), Axis(10, 4, 1), Axis(10, degree=0)], ids=str)
def test_curves_pass_through_their_weights(axis):
    weights = axis.matrix @ np.random.default_rng(1).normal(size=axis.coefficients)
    for start, size in axis.pieces:
        positions, values = pictures.curve(weights, axis, start, size)
        whole = np.arange(start, start + size)
        assert positions[0] == start
        assert positions[-1] == start + size - 1
        tolerance = np.abs(np.diff(values)).max(initial=0) + 1e-9  # the curve is sampled, not evaluated, between
        assert np.abs(np.interp(whole, positions, values) - weights[whole]).max() <= tolerance


@pytest.mark.parametrize(("filters", "drawn"), [(1, 1), (6, 6), (40, 16)])
def test_filters_are_drawn_up_to_a_limit(tmp_path, filters, drawn):
    weights = np.random.default_rng(0).normal(size=(filters, 3, 5, 5))
    weights[0] = 0  # a dead filter
    with Image.open(pictures.filters(weights, weights, tmp_path / "f.png")) as image:
        assert image.size == (round(150 * (0.75 * drawn + 0.6)), 300)


def test_levels_name_thecurve(tmp_path):
    table = np.array([0.0, -1.0, 0.0, 1.0])
    levels = np.array([[0, 1], [3, 3]])
    path = pictures.levels(levels, table[levels] + 0.1, table, tmp_path / "l.svg", "conv1", zero=True)
    assert {"conv1", "level", "dense weight", "weight of the level", "curve"} <= set(texts(path))


def test_bytes_by_layer_add_up_to_the_file(tmp_path, program):
    parts = pictures.grouped(breakdown(program))
    path = pictures.bytes_by_layer(parts, tmp_path / "b.svg")
    said = texts(path)
    total = sum(size for sizes in parts.values() for size in sizes.values())
    assert f"bytes, {total:,.0f} together" in said
    assert {"file", "conv1", "linear1", "coefficients", "checksum"} <= set(said)


def test_neither_backend_nor_settings_of_the_caller_change(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_polynomials(tmp_path / "p.png")
    assert dict(matplotlib.rcParams) == before


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    with pytest.raises(HornerError, match=r"picture\.gif: a picture's name ends in \.png, \.svg, \.pdf"):
        draw_polynomials(tmp_path / "picture.gif")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # what an import of a missing package meets
    with pytest.raises(HornerError, match=r"pip install 'horner\[report\]'"):
        draw_polynomials(tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    path = draw_polynomials(tmp_path / "p.png")
    former = path.read_bytes()

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(HornerError, match="No space left"):
        pictures.levels(np.array([0]), np.array([0.5]), np.array([0.4, 1.0]), path)
    assert path.read_bytes() == former
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.png"]
