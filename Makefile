# Everything works from a fresh clone: the environment is made when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .venv-bench
NN_DATAFLOW := .venv-nn-dataflow

# of packages, what nothing here imports
UNUSED := /(tests|_internal|mypyc?|pip|setuptools)/

.PHONY: setup demo test lint check format lock bench bench-hardware clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Horner needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' $(VENV) || true  # as pip would, on all cores
	touch $@

# the main job: train, approximate, write the file, generate C, compare all of them on real images
demo: $(READY)
	$(BIN)/horner demo -o demo

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: lint
	$(BIN)/mypy

# types are a test among the others
test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the versions everything is tested with; run after changing pyproject.toml
lock: $(READY)
	$(BIN)/python tools/lock.py

# time the generated C against its peers, in an environment of its own; writes docs/performance.md
bench: $(BENCH)/.ready
	$(BENCH)/bin/python -m benchmarks.host --write-docs

$(BENCH)/.ready: benchmarks/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt -e .
	touch $@

# the hardware model beside nn-dataflow, in an environment of its own, and networks side by side; writes docs/hardware.md
bench-hardware: $(READY) $(NN_DATAFLOW)/.ready
	$(BIN)/python -m benchmarks.hardware --write-docs

$(NN_DATAFLOW)/.ready: benchmarks/requirements-nn-dataflow.txt
	$(PYTHON) -m venv $(NN_DATAFLOW)
	$(NN_DATAFLOW)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-nn-dataflow.txt
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(NN_DATAFLOW) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
