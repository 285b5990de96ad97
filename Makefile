# `make demo` and `make test` are the two commands of the README; each sets the environment up when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := src tests benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check format examples bench docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv with the command in it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 expected, $$($(PYTHON) --version) came; say make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

demo: $(READY) ## the main job: digits, a two-layer network and a DEQ, certified, trained, reported
	$(BIN)/globalmin demo

test: $(READY) ## the test suite
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: $(READY) ## format, lint, types, import contracts
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## format and mend what can be mended
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

examples: $(READY) ## run every example
	@for file in examples/*.py; do echo "$$file"; $(BIN)/python "$$file" || exit 1; done

bench: $(READY) ## the ratios of the benchmarks (minutes)
	$(BIN)/python -m pytest benchmarks -p no:xdist --benchmark-disable-gc

docs: $(READY) ## the documentation as a site under site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove the environment and everything built
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache
