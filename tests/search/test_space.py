import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import image, network

from horner import models
from horner.plan import AxisPlan, LayerPlan, Plan, weight_shape, weighted
from horner.search import seeds
from horner.search.space import Candidate, Picked, axis_choices, build, kernel_choices
from horner.training import TrainConfig

SPACE = build(network(), image())


class Drawn:
    """Chooses what hypothesis draws, and keeps the choices."""

    def __init__(self, data):
        self.data, self.params = data, {}

    def ordered(self, name, count):
        return self.among(name, range(count))

    def among(self, name, options):
        self.params[name] = self.data.draw(st.sampled_from(list(options)), label=name)
        return self.params[name]


@given(st.data())
def test_every_choice_is_a_plan_of_the_network_and_is_found_again(data):
    drawn = Drawn(data)
    candidate = SPACE.candidate(drawn)
    assert SPACE.candidate(Picked(drawn.params)) == candidate
    assert Plan.parse(str(candidate.plan)) == candidate.plan
    candidate.plan.match(network())
    again = SPACE.candidate(Picked(SPACE.params(candidate)))
    if drawn.params["nodes"] == "index":
        assert again == candidate


@given(st.integers(1, 600))
def test_axes_go_from_dense_to_few_coefficients(length):
    forms = axis_choices(length)
    assert forms[0] is None
    counts = [length, *(form.axis(length).coefficients for form in forms[1:])]
    assert counts == sorted(counts, reverse=True)
    assert len(forms) < 20
    if length > 2:
        assert counts[-1] == 2


@given(st.integers(1, 7), st.integers(1, 7))
def test_kernels_too_and_none_stores_as_much_as_another(rows, columns):
    def stored(pair):
        return [n if axis is None else axis.axis(n).coefficients for axis, n in zip(pair, (rows, columns), strict=True)]

    products = [a * b for a, b in map(stored, kernel_choices(rows, columns))]
    assert products == sorted(set(products), reverse=True)
    assert products[0] == rows * columns


def test_layers_of_one_shape_share_their_form():
    resnet = models.build("resnet20", shape=(3, 32, 32))
    space = build(resnet, torch.zeros(1, 3, 32, 32))
    assert sum(len(group.layers) for group in space.groups) > 20
    assert len(space.groups) < 10


@pytest.mark.parametrize(
    ("name", "shape"), [("lenet5", (1, 28, 28)), ("lenet5-caffe-relu", (1, 28, 28)), ("resnet20", (3, 32, 32))]
)
def test_known_plans_are_in_the_space_exactly(name, shape):
    model = models.build(name, batch_norm=True, shape=shape)
    known = seeds.known(name, model)
    assert known
    space = build(model, torch.zeros(1, *shape), [candidate.plan for candidate in known])
    for candidate in known:
        found = space.candidate(Picked(space.params(candidate)))
        assert (found.fit, found.arrange) == (candidate.fit, candidate.arrange)
        kept, wanted = found.plan.match(model), candidate.plan.match(model)
        for layer, module in weighted(model).items():
            for key in ("ranked", "bias", "scale", "bits"):
                assert getattr(kept[layer], key) == getattr(wanted[layer], key), (layer, key)
            mine, theirs = (plan[layer].axes(weight_shape(module)) for plan in (kept, wanted))
            assert [a for a in mine if a.length > 1] == [a for a in theirs if a.length > 1], layer


def test_a_plan_for_any_network_comes_out_as_near_as_can_be():
    space = build(network(), image())
    near = {str(c.plan): space.candidate(Picked(space.params(c))).plan for c in seeds.general()}
    assert near["dense"].layer("0").dense
    assert str(near["ranked=linear/4bit"].layer("5").ranked) == "linear/4bit"
    both = near["out=linear/4 in=linear/4 bits=6"].layer("5")
    assert both == LayerPlan(AxisPlan(1, 4), AxisPlan(1), map=(6, 6), bits=6)


def test_what_does_not_matter_is_not_chosen():
    plain = build(network(batch_norm=False), image(), retrained=False)
    params = plain.params(Candidate(Plan.parse("dense")))
    assert not {"fit", "distill", "arrange"} & set(params)
    assert {"fit", "distill", "arrange"} <= set(SPACE.params(Candidate(Plan.parse("dense"))))
    assert not any(scale for group in plain.groups for _, scale in group.vectors)
    assert plain.digest != SPACE.digest == build(network(), image()).digest


def test_a_candidate_says_how_it_is_trained():
    candidate = Candidate(Plan.parse("dense"), arrange=False, fit="random", distill=0.25)
    settings = candidate.retraining(TrainConfig(), 10)
    assert (settings.arrange, settings.fit, settings.real.distill_weight) == (False, "random", 0.25)
    assert candidate.retraining(TrainConfig(), 0) is None
    assert candidate.to_dict() == {**dataclasses.asdict(candidate), "plan": "dense"}


def test_known_plans_that_do_not_fit_the_network_are_left_out():
    own, other = (seeds.known("lenet5", model) for model in (models.build("lenet5"), network()))
    assert len(other) < len(own)
    for candidate in other:
        candidate.plan.match(network())
