# Every target sets up what it needs, says so, and is quick the second time.

# Programs that the set-up built come first; only they are new enough for sure.
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export PYTHON

bin := .venv/bin
setup := @sh tools/setup.sh
# One more than cores, since many tests wait for processes; four at most.
tests = $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 3 ? cores + 1 : 4)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test soak lint bench tools lock clean

help: ## Show this list
	@awk -f tools/help.awk Makefile

demo: ## See a signup become a running tenant; ARGS="--once --json" for one, in a script
	$(setup) environment programs
	@exec $(bin)/tenantry demo $(ARGS)

test: $(if $(ARGS),,lint) ## Check and test everything; ARGS="tests/unit -k license" hands its own to pytest
	$(setup) environment programs neighbors
	@exec $(bin)/python -m pytest $(or $(ARGS),--quiet --numprocesses $(tests) --dist worksteal)

soak: ## Judge 100,000 lives, kill 1,000 processes (an hour); ARGS="--kills 200 --seed 7"
	$(setup) environment programs neighbors
	@exec $(bin)/python -m tests.soak $(ARGS)

lint: ## Check style, types and layers
	$(setup) environment
	@$(bin)/ruff check --quiet .
	@$(bin)/ruff format --check --quiet .
	@$(bin)/mypy --no-error-summary service tests tools $(wildcard bench)
	@$(bin)/lint-imports --no-logo

bench: ## Measure the figures that docs/ promise; ARGS chooses
	$(setup) environment programs neighbors
	@exec $(bin)/python -m bench.run $(ARGS)

tools: ## Build kubeseal and kustomize into .tools/bin, unless PATH has them
	$(setup) environment programs

lock: ## Write requirements/ anew from pyproject.toml; ARGS="--upgrade" for newer versions
	$(setup) environment
	@sh tools/lock.sh $(ARGS)

clean: ## Remove what the targets above made; data of demos stays
	@rm -rf .venv .tools dist .coverage* htmlcov .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache tests/.screenshots
