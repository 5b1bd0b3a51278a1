# Every target sets up what it needs in $(VENV); a second call finds it there.
# PYTHON=/path/to/python3.12 chooses the interpreter; the newest of 3.13, 3.12, 3.11 is the default.
VENV ?= .venv
PYTHON ?=
PLAN ?= first
PROFILE ?= embedded
BENCH ?= overhead
MODEL ?=
SEEDS ?= 200
SEED ?=
POINTS ?= 10
ARGS ?=

export VENV PYTHON
export UV_PYTHON_DOWNLOADS = never
bin = $(VENV)/bin
folders = core plugins adapters bootstraps features
python_files = $(folders) .ci

.PHONY: help setup machine browser run test lint check features bench sim vllm lock neo4j-lock protos format clean
.DEFAULT_GOAL := help

help: ## list these commands
	@echo "usage: make COMMAND"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv what requirements.lock and pyproject.toml say
	@sh .ci/setup

machine: setup ## see to what comes from the system (bubblewrap, OpenMP); install it where allowed
	@sh .ci/sandbox
	@sh .ci/openmp

browser: setup ## see to chromium, which the monitor's tests drive; install it where allowed
	@sh .ci/browser

run: machine ## deliberate over a built-in plan, with a language model on this machine
	$(bin)/fleet run $(PLAN) --profile embedded $(ARGS)

test: machine browser ## every test, and those of core and plugins on each other Python found
	@sh .ci/test $(ARGS)

lint: setup ## style, types, import contracts, spelling, lock, protos
	$(bin)/ruff check $(python_files)
	$(bin)/ruff format --check $(python_files)
	@for folder in $(folders); do echo "mypy $$folder"; $(bin)/mypy $$folder || exit 1; done
	$(bin)/mypy .ci/*.py
	$(bin)/lint-imports
	$(bin)/codespell
	$(bin)/python .ci/lock.py check
	$(bin)/python .ci/protos.py check

check: lint test ## lint, then test

features: machine browser ## run the Gherkin features: make features PROFILE=embedded|fleet|fleet-nats|scripted
	@sh .ci/features $(PROFILE) $(ARGS)

bench: setup ## measure: make bench BENCH=overhead, or BENCH=context-value MODEL=FILE.gguf
	$(bin)/python -m fleet_features.bench $(BENCH) $(if $(MODEL),--model "$(MODEL)") $(ARGS)

vllm: machine ## opt-in, 3 GB: the chain against a real vLLM on the CPU (.ci/vllm says more)
	@sh .ci/vllm $(ARGS)

neo4j-lock: setup ## write anew which libraries the pom in deploy/neo4j resolves to; wants Maven
	$(bin)/python .ci/neo4j.py

protos: setup ## generate the code of the protos anew
	$(bin)/python .ci/protos.py write

sim: setup ## the fleet in simulation: make sim SEEDS=200; replay one: make sim SEED=17
	$(bin)/python -m fleet_features.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

kill: setup ## SIGKILL each part of a fleet at random points of a run: make kill POINTS=10
	$(bin)/python -m fleet_features.kill --points $(POINTS) $(ARGS)

lock: setup ## resolve requirements.lock anew
	$(bin)/python .ci/lock.py write

format: setup ## let ruff format and mend what it can
	$(bin)/ruff format $(python_files)
	$(bin)/ruff check --fix $(python_files)

clean: ## remove what these commands made, but not .fleet (its runs and models)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(folders) -name __pycache__ -type d -prune -exec rm -rf {} +
