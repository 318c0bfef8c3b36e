"""What the committed times say, and that a step of every stage can be timed."""

import msgspec
import pytest

from benchmarks.markdown import insert
from benchmarks.training import DOCUMENT, PRESETS, RESULTS, Report, Row, Steps, measure, parts
from horner import presets

REPORT = msgspec.json.decode(RESULTS.read_bytes(), type=Report)


def test_the_page_has_the_table_of_the_committed_results():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert insert(text, parts(REPORT)) == text, "run python -m benchmarks.training --write-docs"
    assert [row.preset for row in REPORT.rows] == list(PRESETS)


def test_retraining_is_weighted_by_epochs():
    steps = Steps(dense=10.0, real=5.0, quantised=20.0, batch=128, bfloat16=False)
    assert Row("x", steps, steps, (10, 6, 2)).retraining == pytest.approx(0.7)


def test_steps_of_every_stage_are_timed_without_a_data_set():
    steps = measure("lenet5-demo", 3)
    assert min(steps.dense, steps.real, steps.quantised) > 0
    assert steps.batch == presets.get("lenet5-demo").training().batch_size
