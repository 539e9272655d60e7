# Everything sets itself up from nothing: `make run` or `make test` in a fresh checkout is enough.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test test-pg18 check format bench chaos docs reference lock clean

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PORT ?= 8765
ANGELICA_URL ?= sqlite:///angelica.db
PYTEST_ARGS ?= -n 2

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make the virtual environment (.venv)

$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh $(VENV)
	@touch $@

run: $(STAMP)  ## start the example: API, worker and reload on PORT (8765), data in examples/angelica.db
	@cd examples && exec env ANGELICA_PORT='$(PORT)' ANGELICA_URL='$(ANGELICA_URL)' '$(abspath $(BIN))/angelica' dev

test: $(STAMP)  ## run all tests (PYTEST_ARGS='-k name' for some)
	@tools/servers.sh
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-pg18: $(STAMP)  ## run the tests that need PostgreSQL on the PostgreSQL 18 of the wheel, not on the installed one
	@tools/servers.sh
	@ANGELICA_TEST_POSTGRES=wheel $(BIN)/python -m pytest -m postgres $(PYTEST_ARGS)

check: $(STAMP)  ## formatting, lint, types, floors, shape
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --config pyproject.toml
	@$(BIN)/python tools/check_shape.py

format: $(STAMP)  ## let ruff format and fix what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure: submit, drain, latency (bench/)
	@$(BIN)/python -m bench

chaos: $(STAMP)  ## kill, stop and corrupt things while tasks run, and prove that none is lost (bench/)
	@$(BIN)/python -m bench.chaos
	@$(BIN)/python -m bench.chaos.tickers
	@tools/servers.sh
	@$(BIN)/python -m bench.chaos.postgres
	@$(BIN)/python -m bench.chaos.limited

docs: $(STAMP)  ## build the documentation into site/
	@$(BIN)/zensical build --clean

reference: $(STAMP)  ## write the generated pages of docs/reference again
	@$(BIN)/python tools/reference.py

lock: $(STAMP)  ## pin all dependencies again (constraints.txt)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
	@PATH="$(abspath $(BIN)):$$PATH" tools/lock.sh --upgrade

clean:  ## remove the environment and everything that was made
	@rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
