# The front door. Every target is one line over the command line tool; `make help` lists them.

SUITE       ?= quick
# The pocket suite's default is one study of one submission: 15 to 25 minutes.
SUBMISSIONS ?= $(if $(filter pocket,$(SUITE)),adamw,adamw nadamw nesterov heavy_ball)
ALL         := $(basename $(notdir $(filter-out %/__init__.py,$(wildcard submissions/*.py))))
STUDIES     ?= $(if $(filter pocket,$(SUITE)),1)
RESULTS     ?= results/$(SUITE)
DIAGNOSIS   ?= results/diagnose
VENV        ?= .venv
PYTHON      ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
                 $(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))

BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

.PHONY: help score run diagnose test test-slow test-tables test-all lint format bench lock clean

help:           ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

score: run      ## train what the suite lacks, print the leaderboard, write the report (STUDIES=1: fewer; SUBMISSIONS=all: all of them)
	@$(BIN)/algoperf score $(RESULTS) --out $(RESULTS)/report

run: $(RUN)     ## train what the suite lacks
	@$(BIN)/algoperf run $(if $(filter all,$(SUBMISSIONS)),$(ALL),$(SUBMISSIONS)) --suite $(SUITE) --results $(RESULTS) $(if $(STUDIES),--studies $(STUDIES))

diagnose: $(RUN)  ## train the pocket suite's language model in four sizes, diagnose their answers
	@$(BIN)/algoperf run adamw --suite pocket --rules pocket-diagnose --results $(DIAGNOSIS)
	@$(BIN)/algoperf diagnose $(DIAGNOSIS) --out $(DIAGNOSIS)/report

test: $(DEV)    ## the fast tests, about six minutes on two slow cores
	$(BIN)/pytest -n 2 -m "not slow and not table and not exhaustive"

test-slow: $(DEV)  ## those that take longer: kills, cheats, Slurm, hosts, larger models; 23 minutes (TESTS=tests/slurm: only these)
	$(BIN)/pytest -n 3 -m "slow and not table" $(TESTS)

test-tables: $(DEV)  ## the same checks for the other workloads and variants: most of an hour
	$(BIN)/pytest -n 2 -m table

test-all: $(DEV)  ## every test, with every submission on every workload: hours
	$(BIN)/pytest -n 2

lint: $(DEV)    ## format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright

format: $(DEV)  ## format in place
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(DEV)   ## what the harness, submissions, scoring and diagnosis cost; results/benchmarks.md
	@$(BIN)/python benchmarks/all.py

lock: $(DEV)    ## resolve the dependencies anew
	$(BIN)/pip install --quiet uv
	$(BIN)/python -m uv pip compile $(LOCK) pyproject.toml build.in -o requirements.lock
	$(BIN)/python -m uv pip compile $(LOCK) pyproject.toml build.in --extra dev -c requirements.lock -o requirements-dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade

clean:          ## remove the environment; results stay
	rm -rf $(VENV)

$(RUN): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3"; exit 2; }
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUN) requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@
