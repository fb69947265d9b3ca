# Two commands on a fresh machine: `make crawl` runs the main job on the demo site, `make test` runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable

.PHONY: crawl test lint types contracts pytest coverage torture bench clean
.DEFAULT_GOAL := crawl

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crawlmill needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What a crawl needs. The tests need four times as many packages.
$(INSTALLED): pyproject.toml | $(MADE)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(TESTABLE): pyproject.toml | $(MADE)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $(INSTALLED) $@

# Serves the demo site on loopback, crawls it, says where the results are. No internet after the install.
crawl: $(INSTALLED)
	$(BIN)/crawl demo --run $(BIN)/crawl sample_config.toml

test: lint types contracts pytest

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TESTABLE)
	$(BIN)/mypy

contracts: $(TESTABLE)
	$(BIN)/lint-imports

pytest: $(TESTABLE)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Branches of the pool that its tests take, those in its worker processes included: 95 % of them, and no lines in the sum.
coverage: $(TESTABLE)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests/pipelines/pool tests/pipelines/test_cpu.py
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered
	$(BIN)/python -m coverage json --quiet -o - | $(BIN)/python tests/support/branches.py 95

# A thousand kills of a crawl at random instants, where CI runs thirty; 200 of downloads; all fault cases with two
# connections as well; a million items through the pool, where CI sends a tenth of that. Takes more than an hour.
torture: $(TESTABLE)
	CRAWLMILL_SEGMENTS=1,2,8 $(BIN)/python -m pytest tests/download/test_matrix.py
	CRAWLMILL_ITEMS=1000000 $(BIN)/python -m pytest tests/pipelines/test_stream.py tests/pipelines/backends -k "budget or number_of_bytes"
	CRAWLMILL_KILLS=1000 CRAWLMILL_DEATHS=500 $(BIN)/python -m pytest tests/crash -k "kill or deaths"

bench: $(TESTABLE)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/pools.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache build dist *.egg-info .coverage .coverage.*
