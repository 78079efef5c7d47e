# Needs only Python 3.11 or later, pip and make. Every target builds .venv first where it is missing.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DENSE := runs/quickstart-dense
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
OLDEST := .venv-oldest
CORE := $(addprefix tests/,adapt checkpoint contract formats recipes/test_read.py recipes/test_run.py recipes/test_gradual.py)
SOURCES := src tests $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help install quickstart test coverage oldest check fmt lint docs bench clean

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(STAMP)  ## build .venv with every version pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[quickstart,dev,docs,export,sparse,ray,track]'
	touch $@

quickstart: install $(DENSE)/config.json  ## fine-tune, prune to half the FLOPs, measure, report
	$(OFFLINE) $(BIN)/prunus run quickstart --out runs/quickstart

$(DENSE)/config.json: | install
	$(OFFLINE) $(BIN)/prunus train quickstart/train --out $(DENSE)

test: install  ## run the tests
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

coverage: install  ## run the tests, and tell which branches of the code they never take
	$(BIN)/coverage erase
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n 2
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under 95

oldest: $(OLDEST)/.installed  ## run the tests of the core with the oldest packages that pyproject.toml allows
	$(OFFLINE) OMP_NUM_THREADS=1 $(OLDEST)/bin/pytest -n 2 \
	    -W ignore::DeprecationWarning -W ignore::FutureWarning $(CORE)

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e '.[quickstart,dev]'
	touch $@

check: install  ## everything that reads the code without running it
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell $(SOURCES) docs *.md

fmt: install  ## format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix-only $(SOURCES)

lint: install  ## the fast part of check
	$(BIN)/ruff check $(SOURCES)

docs: install  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install  ## run the benchmark scripts, one after the other
	set -e; for script in $(wildcard benchmarks/*.py); do $(OFFLINE) $(BIN)/python $$script; done

clean:  ## remove .venv and everything built
	rm -rf .venv $(OLDEST) site dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
