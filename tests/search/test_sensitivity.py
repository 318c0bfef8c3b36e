import copy
import json
import math

import pytest
from search_worker import SPEC

from horner import models
from horner.approximation import approximate_, fit_
from horner.errors import PlanError
from horner.pipeline import calibration_images
from horner.plan import Plan
from horner.search import sensitivity
from horner.search.sensitivity import Bearing, forms, ordered
from horner.training import evaluate

PLAN = Plan.parse("0: ranked=linear/2bit; 5: in=linear row=linear map=6x6")


@pytest.fixture(scope="module")
def report(data, dense_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return sensitivity(SPEC, data, trained=models.load(dense_file, spec=SPEC), output=folder), folder


def test_every_layer_is_tried_alone_under_every_form_that_suits_it(report):
    found, _ = report
    tried = {layer: [one.form for one in found.bearings if one.layer == layer] for layer in ("0", "5", "7")}
    assert {"ranked=linear/1bit", "out=linear/4", "row=linear", "row=quadratic col=quadratic"} <= set(tried["0"])
    assert "in=linear/4" not in tried["0"]
    assert {"out=linear/16", "in=linear/4 map=6x6", "row=linear map=6x6"} <= set(tried["5"])
    assert not any("row" in form or "col" in form for form in tried["7"])
    assert sum(map(len, tried.values())) == len(found.bearings)


def test_the_numbers_are_those_of_the_layer_approximated_by_hand(data, trained):
    found = sensitivity(SPEC, data, trained=trained, plan=PLAN)
    dense, calibration = trained[0], calibration_images(data, 500)
    assert {one.layer for one in found.bearings} == {"0", "5"}
    for one in found.bearings:
        model = approximate_(copy.deepcopy(dense), f"{one.layer}: {one.form}")
        fitted = fit_(model, calibration, dense)[one.layer]
        assert one.error == pytest.approx(fitted.after)
        assert one.drop == pytest.approx(found.dense - evaluate(model, data.validation, data.mean, data.std))
    conv = next(one for one in found.bearings if one.layer == "0")
    assert conv.bytes == 2 + 25  # two coefficients of a byte, 100 levels of two bits
    assert conv.bytes + conv.saved == 400
    assert conv.ratio == pytest.approx(400 / 27)


def test_more_levels_lose_less_of_the_output(report):
    found, _ = report
    for layer in ("0", "5", "7"):
        errors = {one.form: one.error for one in found.bearings if one.layer == layer}
        curve = [errors[f"ranked=linear/{bits}bit"] for bits in (8, 4, 2, 1)]
        assert curve == sorted(curve)


def test_layers_come_in_the_order_of_what_they_lose():
    def bearing(layer, drop):
        return Bearing(layer, "form", drop, 0.0, 1, 3)

    rows = ordered([bearing("a", 1.0), bearing("b", 5.0), bearing("a", 0.5), bearing("b", 2.0)])
    assert [(one.layer, one.drop) for one in rows] == [("b", 2.0), ("b", 5.0), ("a", 0.5), ("a", 1.0)]


def test_table_numbers_and_picture_say_the_same(report):
    found, folder = report
    assert json.loads((folder / "sensitivity.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    assert (folder / "sensitivity.svg").read_text().count("<svg") == 1
    assert found.table().row_count == len(found.bearings)
    assert all(math.isfinite(one.drop) and one.saved > 0 for one in found.bearings)


def test_a_plan_that_approximates_nothing_is_refused(data, trained):
    with pytest.raises(PlanError, match="leaves every layer dense"):
        sensitivity(SPEC, data, trained=trained, plan=Plan.parse("dense"))


def test_small_layers_have_few_forms():
    assert [str(form) for form in forms((2, 1, 1, 1))] == [f"ranked=linear/{bits}bit" for bits in (8, 4, 3, 2, 1)]
