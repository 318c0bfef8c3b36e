"""What is drawn of an array is what the model says."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from horner.errors import HornerError
from horner.hardware import architecture, compare
from horner.hardware.cost import LEVELS
from horner.report import hardware
from horner.report.pictures import styled

EYERISS = architecture.load("eyeriss")
PICTURES = [hardware.energy, hardware.roofline, hardware.occupation]


@pytest.fixture(scope="module")
def simulations(program):
    return compare(program, EYERISS)


def texts(svg):
    """What an SVG says, from the comment that stands before every text's outline."""
    root = ET.fromstring(svg, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    return [node.text.strip() for node in root.iter() if node.tag is ET.Comment]


def test_bars_add_up_to_the_energy_of_the_program(simulations):
    assert list(hardware.LEVELS) == ["mac", "add", *LEVELS]
    for simulation in simulations:
        drawn = hardware.energies(simulation)
        assert drawn.sum(0) == pytest.approx(list(simulation.energy.values()))
        assert drawn.sum(1) == pytest.approx([sum(layer.energy(EYERISS).values()) for layer in simulation.layers])


def test_no_layer_is_above_its_roof(simulations):
    for simulation in simulations:
        points = hardware.intensities(simulation)
        cycles = np.array([layer.cycles.total for layer in simulation.layers])
        assert (
            points[:, 1] <= hardware.roof(simulation.arch, points[:, 0]) * (1 + 0.5 / cycles)
        ).all()  # they are whole


def test_roofs_meet_where_dram_feeds_every_pe():
    ridge = EYERISS.pes / EYERISS.bandwidth.dram / EYERISS.word_bytes
    assert hardware.roof(EYERISS, np.array([ridge / 2, ridge, 9 * ridge])) == pytest.approx([84, 168, 168])


def test_the_area_drawn_of_every_array_is_its_multiply_accumulates(simulations):
    figure = styled(hardware._occupation)(simulations)
    for place, simulation in zip(figure.axes, simulations, strict=True):
        area = {}
        for doing, step in zip(("multiply", "add", "fill", "buffer", "dram"), place.patches, strict=True):
            heights, edges, _ = step.get_data()
            area[doing] = np.nansum(heights * np.diff(edges))
        assert edges[-1] == simulation.cycles
        assert area["multiply"] == sum(layer.macs for layer in simulation.layers)
        idle = sum(layer.cycles.total - layer.cycles.processing for layer in simulation.layers)
        assert area["fill"] + area["buffer"] + area["dram"] == idle * EYERISS.pes


def test_pictures_name_layers_and_arrays(simulations):
    for kind, svg in hardware.as_svg(simulations).items():
        said = "\n".join(texts(svg))
        for words in ("conv1", "linear1", "Row Stationary", "with reuse"):
            assert words in said, kind
    said = texts(hardware.as_svg(simulations)["occupation"])
    assert any(f"{simulations[1].cycles:,} in all" in text for text in said)


def test_layers_at_one_point_share_a_label(simulations):
    first = simulations[0]
    twice = dataclasses.replace(first, layers=first.layers[:1] * 3, shapes=first.shapes[:1] * 3)
    assert "1-3" in texts(hardware.as_svg([twice])["roofline"])
    assert texts(hardware.as_svg([twice, twice])["roofline"]).count("1-3") == 1


@pytest.mark.parametrize("draw", PICTURES)
def test_one_array_alone_can_be_drawn_into_every_kind_of_file(draw, simulations, tmp_path):
    for kind in ("png", "svg", "pdf"):
        path = draw(simulations[1:], tmp_path / f"picture.{kind}")
        assert path.read_bytes() == draw(simulations[1:], tmp_path / f"again.{kind}").read_bytes()
    with Image.open(tmp_path / "picture.png") as image:
        assert min(image.size) > 100


def test_a_name_is_no_formula(simulations):
    layers = tuple(dataclasses.replace(layer, name="$x^{$") for layer in simulations[0].layers)
    drawn = hardware.as_svg([dataclasses.replace(simulations[0], layers=layers)])
    assert all("$x^{$" in "\n".join(texts(svg)) for svg in drawn.values())


def test_an_unknown_kind_of_file_is_refused(simulations, tmp_path):
    with pytest.raises(HornerError, match=r"a picture's name ends in \.png, \.svg, \.pdf"):
        hardware.energy(simulations, tmp_path / "energy.gif")
    assert list(tmp_path.iterdir()) == []
