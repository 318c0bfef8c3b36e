import dataclasses
import io
import math
import subprocess
import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from torch import nn

from horner.errors import FileError, PlanError
from horner.models import build
from horner.plan import AxisPlan, LayerPlan, Plan, RankedPlan, weighted

LINEAR4 = AxisPlan(1, 4)


def one(text: str) -> LayerPlan:
    ((pattern, plan),) = Plan.parse(text).rules
    assert pattern == "*"
    return plan


def test_the_short_form_names_axes_and_settings():
    plan = one(
        "out=linear/4 in=constant/3 row=quadratic col=linear/8@pow2 bits=6 bias=linear bias_bits=16 scale=constant"
    )
    assert plan == LayerPlan(
        out=LINEAR4,
        in_=AxisPlan(0, 3),
        row=AxisPlan(2),
        col=AxisPlan(1, 8, "pow2"),
        bits=6,
        bias=AxisPlan(1),
        bias_bits=16,
        scale=AxisPlan(0),
    )
    assert one("fc".replace("fc", "ranked = quadratic/3bit per-filter zero map=7x5")) == LayerPlan(
        ranked=RankedPlan(2, 3, per_filter=True, zero=True), map=(7, 5)
    )


@pytest.mark.parametrize(
    ("preset", "means"),
    {
        "awf": LayerPlan(col=AxisPlan(1)),
        "awf/quadratic": LayerPlan(col=AxisPlan(2)),
        "AFSC": LayerPlan(out=LINEAR4),
        "afmc/8": LayerPlan(in_=AxisPlan(1, 8)),
        "afsc/quadratic/5@pow2": LayerPlan(out=AxisPlan(2, 5, "pow2")),
        "afsc afmc row=linear": LayerPlan(out=LINEAR4, in_=LINEAR4, row=AxisPlan(1)),
    }.items(),
)
def test_presets_are_the_names_of_the_literature(preset, means):
    assert one(preset) == means


def test_an_exact_name_beats_a_pattern_beats_everything_and_the_later_pattern_wins():
    plan = Plan.parse("conv1: in=linear; conv*: row=linear; *1: col=linear; out=constant")
    assert plan.layer("conv1") == LayerPlan(in_=AxisPlan(1))
    assert plan.layer("conv2") == LayerPlan(row=AxisPlan(1))
    assert plan.layer("fc1") == LayerPlan(col=AxisPlan(1))
    assert plan.layer("fc2") == LayerPlan(out=AxisPlan(0))
    assert Plan.parse("conv*: row=linear; c*: col=linear").layer("conv2") == LayerPlan(col=AxisPlan(1))
    assert Plan.parse("").layer("anything") == LayerPlan()


def test_settings_are_inherited_and_axes_are_not():
    plan = Plan.parse("conv1: row=linear; out=linear bits=6 bias=linear; fc: dense bits=8 bias=dense")
    assert plan.layer("conv1") == LayerPlan(row=AxisPlan(1), bits=6, bias=AxisPlan(1))
    assert plan.layer("fc") == LayerPlan()
    assert Plan.parse(str(plan)) == Plan.parse(plan.to_toml()) == plan


TOML = """
bits = 6
preset = "afsc afmc"

[conv1]
row = "quadratic"
map = [5, 5]

["fc*"]
ranked = "linear/4bit zero"
bits = 4

[features.0]
zero = false
dense = true

["features.1"]
ranked = "linear/2bit"
per_filter = true

["features.2"]
ranked = "linear/3level zero"
dead = 1.3
"""


def test_toml_has_a_table_per_pattern_and_defaults_before_them(tmp_path):
    short = (
        "afsc afmc bits=6; conv1: row=quadratic map=5x5; fc*: ranked=linear/4bit zero bits=4; features.0: dense; "
        "features.1: ranked=linear/2bit per_filter; features.2: ranked=linear/3level zero dead=1.3"
    )
    (tmp_path / "p.toml").write_text(TOML)
    parsed = Plan.parse(TOML)
    assert parsed.layer("features.0") == LayerPlan(bits=6)
    assert parsed.layer("features.1").ranked == RankedPlan(1, 2, per_filter=True)
    assert parsed.layer("features.2").ranked == RankedPlan.of(1, 3, zero=True, dead=1.3)
    assert dict(parsed.rules) == dict(Plan.parse(short).rules)
    assert Plan.parse(tmp_path / "p.toml") == Plan.parse(str(tmp_path / "p.toml")) == Plan.parse(parsed) == parsed


axis_plans = st.none() | st.builds(
    AxisPlan, st.integers(0, 2), st.none() | st.integers(1, 16), st.sampled_from(["index", "pow2"])
)
widths = st.integers(2, 16) | st.just(32)
common = {
    "map": st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    "bits": widths,
    "bias": axis_plans,
    "bias_bits": widths,
    "scale": axis_plans,
    "scale_bits": widths,
}
ranked_plans = st.builds(RankedPlan, st.integers(0, 2), st.integers(1, 8), st.booleans(), st.booleans()) | st.builds(
    RankedPlan.of,
    st.integers(0, 2),
    st.integers(2, 256),
    st.booleans(),
    st.just(True),
    st.floats(0.01, 1.99).map(lambda dead: round(dead, 6)),
)
shares = st.integers(0, 999999).map(lambda millionths: millionths / 1e6)
of_axes = st.builds(LayerPlan, axis_plans, axis_plans, axis_plans, axis_plans, prune=shares, **common)
coded = st.tuples(of_axes.filter(lambda plan: plan.bits < 32), shares).map(
    lambda drawn: dataclasses.replace(drawn[0], entropy=1e-6 + 1.9 * drawn[1])
)
layer_plans = of_axes | coded | st.builds(LayerPlan, ranked=ranked_plans, **common)
patterns = st.sampled_from(["*", "conv1", "fc?", "features.0", "block[12].*", "odd-name", "awf"])
plans = st.dictionaries(patterns, layer_plans).map(lambda rules: Plan(tuple(rules.items())))


@settings(max_examples=200, deadline=None)
@given(plans)
def test_both_texts_of_a_plan_parse_to_the_plan(plan):
    assert Plan.parse(str(plan)) == plan
    assert Plan.parse(plan.to_toml()) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "conv1: rows=linear": r"rule 1 \(conv1: rows=linear\): no key 'rows'; did you mean row\?",
        "out=linear; fc: zzz=3": r"rule 2 \(fc: zzz=3\): no key 'zzz' There are out",
        "out=cubic": "axis out: 'cubic' is not dense or constant",
        "in=linear/0": "axis in: a segment needs at least one position, not 0",
        "in=linear/four": "axis in: 'linear/four'",
        "in=linear@prime": "axis in: nodes 'prime'",
        "in=linear/17@pow2": "axis in: pow2 nodes need segments of at most 16",
        "bits=1": "bits=1; 2 to 16 are possible, or 32 for float",
        "bits=many": "bits=many is not a whole number",
        "ranked=linear": "for example ranked=linear/4bit",
        "ranked=linear/9bit": "levels of 9 bits; 1 to 8",
        "ranked=linear/4bit out=linear": r"either their position \(out\) or a ranked curve",
        "ranked=linear/1level": "1 levels; 2 to 256",
        "ranked=linear/3level dead=1.3": "dead=1.3 widens the zone of the weight 0, .* add zero",
        "ranked=linear/3level zero dead=2": "dead=2; it is above 0 and below 2",
        "ranked=linear/3level zero dead=0": "dead=0; it is above 0 and below 2",
        "ranked=linear/3level zero dead=wide": "dead=wide is not a number",
        "prune=1": "prune=1; it is a share from 0 to below 1",
        "prune=half": "prune=half is not a number",
        "ranked=linear/4bit prune=0.5": "ranked weights become 0 by zero and dead",
        "bits=4 entropy=4": "entropy=4 of coefficients of bits=4; it is above 0 and below their width",
        "entropy=0": "entropy=0 of coefficients of bits=8",
        "bits=32 entropy=3": "only integers have one",
        "ranked=linear/4bit entropy=3": "entropy is about coefficients by position",
        "zero": "zero is about ranked weights",
        "dead=1.3": "dead is about ranked weights",
        "dense in=linear": "a dense layer has no axes",
        "afsc out=linear": "out is given twice",
        "afcs": "'afcs' is not a preset",
        "map=5": "map=5 is not ROWSxCOLUMNS",
        "map=0x5": "both positive",
        "conv1:": "nothing after conv1:; write conv1: dense",
        ": out=linear": "the pattern before ':' is missing",
        "a b: out=linear": "'a b' is not a pattern",
        "conv1: dense; conv1: dense": "two rules for conv1; join them",
        'out = "linear': "not a plan in TOML: Unterminated string",
        "[conv1]\nrow = linear": r"not a plan in TOML: .*line 2",
        '["conv1"]\nrow = "cubic"': r'table \["conv1"\]: axis row: \'cubic\'',
        "row = [1, 2]": r"before the first table: row is a text or a whole number, not \[1, 2\]",
        "row = true": "row is a text or a whole number",
        "it's: dense": "not a plan in TOML",
        'dense = "yes"': "dense is true or false",
        'row = "linear zero"': "row is one word",
        "[a]\n[a.b]\nbits = 99": r'table \["a.b"\]: bits=99',
    }.items(),
)
def test_what_makes_no_sense_is_said_with_its_place(text, message):
    with pytest.raises(PlanError, match=message):
        Plan.parse(text)


def test_a_file_that_makes_no_sense_is_named(tmp_path):
    (tmp_path / "p.toml").write_text("out = linear")
    with pytest.raises(PlanError, match=r"p\.toml: not a plan in TOML: .*line 1"):
        Plan.parse(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text("[fc]\nzzz = 3")
    with pytest.raises(PlanError, match=r'p\.toml: table \["fc"\]: no key \'zzz\''):
        Plan.parse(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match=r"p\.toml is not UTF-8"):
        Plan.parse(tmp_path / "p.toml")
    with pytest.raises(FileError, match=r"cannot read .*absent\.toml"):
        Plan.parse(str(tmp_path / "absent.toml"))


def test_dataclasses_made_by_hand_are_checked_too():
    for wrong in (
        lambda: AxisPlan(3),
        lambda: AxisPlan(1, 0),
        lambda: RankedPlan(1, 0),
        lambda: LayerPlan(bits=17),
        lambda: LayerPlan(map=(0, 2)),
    ):
        with pytest.raises(PlanError):
            wrong()


def test_every_layer_of_a_model_is_matched_in_order():
    model = build("lenet5")
    matched = Plan.parse("conv*: row=linear; fc2: dense bits=4").match(model)
    assert list(matched) == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert matched["conv2"] == LayerPlan(row=AxisPlan(1))
    assert matched["fc1"] == LayerPlan()
    assert matched["fc2"].bits == 4
    convolutions = Plan.parse("row=linear").match(model, lambda module, name: isinstance(module, nn.Conv2d))
    assert list(convolutions) == ["conv1", "conv2"]


def test_a_pattern_that_matches_nothing_is_told_the_layers_there_are():
    with pytest.raises(PlanError, match=r"conv3 matches no layer of the model; it has conv., conv., fc3, fc., fc."):
        Plan.parse("conv3: row=linear").match(build("lenet5"))
    with pytest.raises(PlanError, match=r"x\* matches no layer of the model; it has .* and 13 more"):
        Plan.parse("x*: dense").match(nn.Sequential(*(nn.Linear(2, 2) for _ in range(33))))
    with pytest.raises(PlanError, match="it has no Conv2d and no Linear"):
        Plan.parse("x: dense").match(nn.ReLU())


def test_an_axis_that_does_not_fit_is_named_with_its_layer():
    model = build("lenet5")
    with pytest.raises(
        PlanError, match=r"layer fc1 \(Linear, weight \(120, 400\)\): axis row: row=linear needs the map"
    ):
        Plan.parse("fc1: row=linear").match(model)
    with pytest.raises(PlanError, match=r"layer fc1 .*map=3x3 does not divide its 400 inputs"):
        Plan.parse("fc1: row=linear map=3x3").match(model)
    with pytest.raises(
        PlanError, match=r"layer fc1 .*axis in: pow2 nodes .* not 400; give a segment, for example in=linear/4@pow2"
    ):
        Plan.parse("fc1: in=linear@pow2").match(model)
    with pytest.raises(PlanError, match=r"layer fc1 .*axis scale: pow2 nodes"):
        Plan.parse("fc1: scale=linear@pow2").match(model)


def test_the_axes_of_a_layer():
    plan = one("out=linear/4 in=linear/400 row=linear map=5x5")
    out, in_, row, col = plan.axes((120, 400))
    assert (out.length, in_.length, row.length, col.length) == (120, 16, 5, 5)
    assert (out.coefficients, in_.coefficients, row.coefficients, col.coefficients) == (60, 2, 2, 5)
    assert in_.segment == 16, "a segment longer than the axis is the whole axis"
    assert [axis.length for axis in one("in=linear").axes((120, 400))] == [120, 400, 1, 1]
    assert all(axis.dense for axis in one("ranked=linear/4bit").axes((16, 6, 5, 5)))


def test_maps_serve_the_rules_that_speak_of_rows():
    matched = Plan.parse("row=linear; fc2: in=linear").match(
        build("lenet5"), maps={"fc1": (5, 5), "fc2": (4, 3), "fc3": (1, 1)}
    )
    assert matched["fc1"].map == (5, 5)
    assert matched["fc2"].map is None


def test_rows_count_coefficients_and_bytes():
    model = build("lenet5")
    rows = {
        row.name: row for row in Plan.parse("conv2: afsc afmc bits=6; fc1: ranked=linear/3bit per_filter").rows(model)
    }
    conv2, fc1, fc2 = rows["conv2"], rows["fc1"], rows["fc2"]
    assert (conv2.shape, conv2.weights, conv2.coefficients) == ((16, 6, 5, 5), 2400, 8 * 4 * 25)
    assert conv2.bytes == 800 * 6 // 8
    assert conv2.coefficient_ratio == 3
    assert conv2.byte_ratio == 16
    assert fc1.coefficients == 240
    assert fc1.bytes == 240 + 48_000 * 3 // 8
    assert fc2.coefficients == fc2.weights == fc2.bytes == 120 * 84


def test_the_table_shows_every_layer_and_the_totals():
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(Plan.parse("conv*: afsc").table(build("lenet5")))
    text = console.export_text()
    assert all(name in text for name in ("conv1", "conv2", "fc1", "fc2", "fc3", "out=linear/4", "total", "61,470"))


def test_tightening_goes_from_loose_to_the_plan_itself():
    model = build("lenet5")
    plan = Plan.parse("conv2: out=linear row=quadratic; fc1: in=linear/40; fc2: ranked=linear/3bit; fc3: dense bits=4")
    steps = plan.tighten(model, 4)
    assert len(steps) == 4
    assert steps[-1] == plan
    assert [step.layer("conv2").out for step in steps] == [AxisPlan(1, 3), AxisPlan(1, 4), AxisPlan(1, 8), AxisPlan(1)]
    assert [step.layer("fc1").in_ for step in steps] == [AxisPlan(1, g) for g in (5, 10, 20, 40)]
    assert [step.layer("fc2").ranked.level_bits for step in steps] == [6, 5, 4, 3]
    ternary = Plan.parse("ranked=linear/3level zero dead=1.3").tighten(model, 3)
    assert [step.layer("fc2").ranked.levels for step in ternary] == [12, 6, 3]
    assert all(step.layer("fc2").ranked.dead == 1.3 for step in ternary)
    assert all(step.layer("fc3") == plan.layer("fc3") for step in steps)
    totals = [sum(row.bytes for row in step.rows(model)) for step in steps]
    assert totals == sorted(totals, reverse=True)
    assert all(Plan.parse(str(step)) == step for step in steps)
    with pytest.raises(PlanError, match="at least 1 step"):
        plan.tighten(model, 0)


def test_a_model_that_is_one_layer():
    model = nn.Linear(8, 4)
    assert list(weighted(model)) == [""]
    assert Plan.parse("in=linear").match(model) == {"": LayerPlan(in_=AxisPlan(1))}
    assert (
        math.prod(Plan.parse("in=linear").tighten(model, 2)[0].match(model)[""].axes((4, 8))[1].matrix.shape) == 8 * 4
    )
    with pytest.raises(PlanError, match="layer of the model"):
        Plan.parse("row=linear").match(model)


def test_reading_a_plan_does_not_load_torch():
    code = "import sys, horner.plan; horner.plan.Plan.parse('afsc; fc*: dense'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
