# What a contributor runs; `make` alone lists it.
#   make test PYTHON=python3.13      another interpreter for a new environment
#   make test TESTS=tests/losses     a part of the tests
#   make test ENVIRONMENT=/some/dir  another place for the environment
#   make install CONSTRAINTS=file    other versions of packages

PYTHON ?= python3
ENVIRONMENT ?= .venv
PROCESSES ?= 2
TESTS ?= tests
CONSTRAINTS ?= constraints.txt

python := $(ENVIRONMENT)/bin/python
# Newer than pyproject.toml and the constraints exactly when the environment fits them.
installed := $(ENVIRONMENT)/soli-installed

# The training of an experiment, or what goes on with its run where there is one.
begun = $(if $(wildcard runs/$1/config.yaml),resume=runs/$1,experiment=$1)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install train test test-oldest lint benchmark

help: ## list these targets
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s%s\n", $$1, $$2 }' Makefile

install: $(installed) ## build the environment .venv: a few minutes, 6 GB; the other targets do it when they need to

train: $(installed) ## train a toy captioner, then SOLI-par from it, and evaluate both: minutes, no download; goes on with runs/toy, if it is there
	$(python) -m soli.train $(call begun,toy)
	$(python) -m soli.train $(call begun,toy_par)
	$(python) -m soli.evaluate run=runs/toy
	$(python) -m soli.evaluate run=runs/toy_par

test: lint ## check the style, then run all tests in two processes
	OMP_NUM_THREADS=1 $(python) -m pytest -q --numprocesses=$(PROCESSES) --dist=loadfile --durations=10 $(TESTS)

test-oldest: ## run all tests with the oldest versions that may be used, in an environment of their own (6 GB more)
	@$(MAKE) --no-print-directory install ENVIRONMENT=$(ENVIRONMENT)-oldest CONSTRAINTS=constraints-oldest.txt
	OMP_NUM_THREADS=1 $(ENVIRONMENT)-oldest/bin/python -m pytest -q --numprocesses=$(PROCESSES) --dist=loadfile --durations=10 $(TESTS)

lint: $(installed) ## check the style only
	$(python) -m ruff check --quiet .
	$(python) -m ruff format --check --quiet --diff .

benchmark: $(installed) ## time soli beside others' ways, in less than ten minutes; figures go to scripts/benchmark/results
	OMP_NUM_THREADS=1 $(python) scripts/benchmark/all.py

$(installed): pyproject.toml $(CONSTRAINTS)
	@command -v $(PYTHON) >/dev/null \
		|| { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "soli needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make environments. Install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "Installing into $(ENVIRONMENT): a few minutes, 6 GB (PyTorch with its CUDA libraries, used or not) ..."
	@if [ -f $(ENVIRONMENT)/pyvenv.cfg ] && [ "$$($(python) -V 2>/dev/null)" != "$$($(PYTHON) -V)" ]; then \
		echo "  made for another Python: starting anew"; rm -rf $(ENVIRONMENT); fi
	@$(PYTHON) -m venv $(ENVIRONMENT)
	@$(python) -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[test,tensorboard]' \
		|| { echo "The installation failed, see above. It needs a network and 6 GB of disk; make install goes on where it stopped"; exit 1; }
	@touch $@
	@echo "Installed."
