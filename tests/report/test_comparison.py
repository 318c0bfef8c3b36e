"""What `draw` chooses to draw, and what it refuses."""

import copy

import pytest
from PIL import Image
from torch import nn

from horner.approximation import approximate_
from horner.basis import Axis
from horner.errors import ModelError
from horner.report import comparison, draw

NAMES = {
    "filters before and after": "filters.png",
    "polynomials against weights": "polynomials.png",
    "bytes by layer": "bytes.png",
}


def test_three_pictures_in_a_new_folder(dense, positional, program, tmp_path):
    found = draw(dense, positional, program, tmp_path / "deep" / "pictures")
    assert {name: path.name for name, path in found.items()} == NAMES
    for path in found.values():
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 100
    assert sorted(entry.name for entry in (tmp_path / "deep" / "pictures").iterdir()) == sorted(NAMES.values())


def test_the_longest_approximated_axis_is_drawn(dense, positional, program, tmp_path, monkeypatch):
    seen = {}

    def polynomials(before, after, axis, path, lines, titles, unit):
        seen.update(before=before, after=after, axis=axis, titles=titles, unit=unit)
        return path

    monkeypatch.setattr("horner.report.pictures.polynomials", polynomials)
    draw(dense, positional, program, tmp_path)
    assert seen["axis"] == Axis(8, 4, 1)  # the 8 channels of the linear layer, not the 3 columns of the convolution
    assert seen["before"].shape == seen["after"].shape == (6, 8)
    assert seen["unit"] == "weight along in=linear/4 / rms of the layer"
    for title, before, after in zip(seen["titles"], seen["before"], seen["after"], strict=True):
        words = title.split()
        assert words[:2] == ["5,", "out"]
        out, row, col = (int(words[i]) for i in (2, 4, 6))
        for line, model in ((before, dense), (after, positional)):
            weight = model[5].weight.detach().double()
            wanted = weight.reshape(10, 8, 3, 3)[out, :, row, col] / weight.square().mean().sqrt()
            assert line == pytest.approx(wanted.numpy())


@pytest.mark.parametrize("plan", ["ranked=linear/4bit zero", "ranked=quadratic/2bit per_filter"])
def test_ranked_weights_are_drawn_over_their_levels(dense, program, plan, tmp_path):
    found = draw(dense, approximate_(copy.deepcopy(dense), plan), program, tmp_path)
    assert set(found) == set(NAMES)


def test_a_network_without_kernels_has_no_picture_of_filters(program, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Flatten(), nn.Linear(8, 4))
    found = draw(copy.deepcopy(model), approximate_(model, "out=linear/4"), program, tmp_path)
    assert set(found) == set(NAMES) - {"filters before and after"}


def test_long_axes_are_cut_at_a_segment():
    assert comparison._beginning(Axis(120, 30, 1)) == Axis(60, 30, 1)
    assert comparison._beginning(Axis(300, 100, 2)) == Axis(100, 100, 2)
    assert comparison._beginning(Axis(6, 4, 1)) == Axis(6, 4, 1)


def test_networks_that_cannot_be_compared_are_refused(dense, positional, program, tmp_path):
    with pytest.raises(ModelError, match="nothing to draw"):
        draw(dense, copy.deepcopy(dense), program, tmp_path)
    with pytest.raises(ModelError, match="has no layer 0"):
        draw(nn.Linear(2, 2), positional, program, tmp_path)
    other = nn.Sequential(nn.Conv2d(2, 8, 3), *list(dense)[1:])
    with pytest.raises(ModelError, match=r"layer 0 has a weight of shape \(8, 2, 3, 3\) before and \(8, 1, 3, 3\)"):
        draw(other, positional, program, tmp_path)
    assert list(tmp_path.iterdir()) == []
