"""What the committed numbers say, and that they are what the code and the page say."""

import math
from pathlib import Path

import msgspec
import pytest
import typer

from benchmarks import hardware, independent, side_by_side, vgg16
from benchmarks.eyeriss import BATCH, EYERISS_JSSC17_TABLE_V, VGG16, VGG16_BATCH
from benchmarks.hardware import DOCUMENT, RESULTS, Report, parts, select
from benchmarks.independent import CHIP, PEER, PUBLISHED, SEARCHED
from benchmarks.markdown import insert
from horner import account
from horner.hardware.row_stationary import search

REPORT = msgspec.json.decode(RESULTS.read_bytes(), type=Report)
BY_LAYER = {(row.model, row.layer): row for row in REPORT.independent}
shapes = pytest.mark.parametrize("shape", [row.shape for row in EYERISS_JSSC17_TABLE_V], ids=lambda shape: shape.name)


def test_the_page_has_the_tables_of_the_committed_results():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert insert(text, parts(REPORT)) == text, "run make bench-hardware"


def test_the_committed_numbers_are_those_of_the_code():
    asked = [row for row in REPORT.independent if row.model != PEER]
    assert independent.ours() == asked
    row = next(row for row in REPORT.side_by_side if (row.network, row.plan, row.batch) == ("lenet5", "1211x", 1))
    assert side_by_side.measure("lenet5", "1211x", 1) == row


def test_vgg16_runs_on_the_model_of_the_chip_and_does_all_its_multiplications():
    assert [row.layer for row in REPORT.vgg16] == [shape.name for shape in VGG16]
    assert sum(row.macs for row in REPORT.vgg16) == VGG16_BATCH * 15_346_630_656
    assert vgg16.frames_per_second(REPORT.vgg16) > 0
    last = search(VGG16[-1], vgg16.ARCH, VGG16_BATCH)
    assert (REPORT.vgg16[-1].cycles, REPORT.vgg16[-1].dram) == (last.cycles.total, last.dram_uncoded)


def test_every_network_and_plan_stands_in_the_results_in_every_batch():
    found = [(row.network, row.plan, row.batch) for row in REPORT.side_by_side]
    assert (True, found) == select(None)


@pytest.mark.parametrize("name", side_by_side.PAPERS)
def test_plans_named_by_a_ratio_have_at_least_the_papers(name):
    network, plan = name.split()
    program = side_by_side.catalogue()[network].program(plan, "int8")
    ratio = account(program).coefficient_ratio
    assert ratio >= side_by_side.PAPERS[name]
    rows = [row for row in REPORT.side_by_side if (row.network, row.plan) == (network, plan)]
    assert [row.coefficient_ratio for row in rows] == [ratio, ratio]


@pytest.mark.parametrize("row", REPORT.side_by_side, ids=lambda row: f"{row.network}-{row.plan}-{row.batch}")
def test_reuse_costs_less_energy_and_time_than_row_stationary(row):
    assert row.ratio("energy") > 1
    assert row.ratio("cycles") > 1
    assert row.reuse.macs < row.row_stationary.macs
    assert row.row_stationary.additions == 0


@shapes
def test_both_models_count_the_same_work_and_differ_by_the_cycle_that_takes_up_a_partial_sum(shape):
    theirs, mine = BY_LAYER[PEER, shape.name], BY_LAYER[SEARCHED, shape.name]
    assert theirs.macs == mine.macs == BATCH * shape.macs
    columns = search(shape, independent.ARCH, BATCH).mapping["q"] * shape.kernel[1]
    assert mine.cycles * columns == theirs.cycles * (columns + 1)
    assert theirs.register_file == 4 * theirs.macs


@shapes
def test_the_chip_moves_what_horner_says_and_not_what_nn_dataflow_says(shape):
    theirs, mine, chip = (BY_LAYER[model, shape.name] for model in (PEER, PUBLISHED, CHIP))
    assert chip.buffer > 5 * theirs.buffer
    assert mine.buffer == pytest.approx(chip.buffer, rel=0.01 if shape.name != "CONV3" else 0.4)
    assert mine.coded == pytest.approx(chip.coded, rel=0.13)


@pytest.mark.parametrize("name", ["CONV4", "CONV5"])
def test_traffic_of_dram_differs_by_the_padding_where_both_read_maps_as_often(name):
    shape = next(row.shape for row in EYERISS_JSSC17_TABLE_V if row.shape.name == name)
    theirs, mine = BY_LAYER[PEER, name], BY_LAYER[SEARCHED, name]
    padding = BATCH * shape.channels * (15 * 15 - 13 * 13)
    times = (theirs.dram - mine.dram) / padding
    assert times == round(times) > 1


def test_energies_are_within_a_tenth_in_all():
    theirs, mine = (
        math.fsum(BY_LAYER[model, s.shape.name].energy for s in EYERISS_JSSC17_TABLE_V) for model in (PEER, SEARCHED)
    )
    assert theirs < mine < 1.1 * theirs


def test_what_is_asked_for_is_what_is_run():
    assert select(["nn-dataflow"]) == (True, [])
    assert select(["lenet5/demo"]) == (False, [("lenet5", "demo", 1), ("lenet5", "demo", 16)])
    assert {network for network, _, _ in select(["vgg16", "vgg16/AFSC"])[1]} == {"vgg16"}
    for name in ("lenet6", "lenet5/AFSC", "nn-dataflow/x"):
        with pytest.raises(
            typer.BadParameter, match=rf"no {name}; there are nn-dataflow and the networks lenet5 \(demo"
        ):
            select([name])


def test_an_environment_that_is_not_there_is_named():
    with pytest.raises(typer.BadParameter, match=r"there is no nowhere; make \.venv-nn-dataflow/\.ready makes it"):
        hardware.main(only=["nn-dataflow"], peer=Path("nowhere"))
