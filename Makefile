# Everything a person does here, by name: `make` alone lists it. Needs Python 3.11-3.13 and nothing else.
# The dependencies are those of requirements.lock, checked against its hashes, in .venv; nothing outside the folder is changed.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo dev test check wheel bench lock migrations setup clean

# Which Python makes .venv: `PYTHON=python3.12 make demo`. Without it, the first suitable one found.
PYTHON ?=
ARGS ?=

# Python makes no environment below a path with a colon, and Dagster's migrations fail below one with a per cent sign: there .venv is a
# link to one in the user's cache.
aside := $(shell case "$$(pwd)" in (*[:%]*) echo "$$HOME/.cache/memory-pipelines/venv-$$(pwd | cksum | cut -d ' ' -f 1)" ;; esac)
venv := $(or $(aside),.venv)
bin := $(venv)/bin
uv := $(bin)/uv
made := $(venv)/.made-with-$(or $(subst /,_,$(PYTHON)),any)
ready := $(venv)/.ready
compile := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock" --extra production --extra celery

# uv never fetches a Python of its own.
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## List the commands (what `make` alone does)
	@printf '\nMemory Pipelines: text, vectors and graph that cannot silently drift apart.\n\n'
	@if [ -t 1 ]; then bold=$$(printf '\033[1m') plain=$$(printf '\033[0m'); fi; \
		awk -F ':.*## ' -v b="$$bold" -v p="$$plain" '/^[a-z]+:.*## / { printf "  %smake %-10s%s %s\n", b, $$1, p, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nWhichever you run first sets up .venv from requirements.lock; later runs notice what changed.\n'
	@printf 'ARGS="…" adds options:    make test ARGS="tests/unit -x"\n'
	@printf 'PYTHON=… picks a Python:  PYTHON=python3.12 make demo\n\n'

demo: $(ready) ## Save, sync, audit and search a small sample on engines that start themselves
	@$(bin)/memory-pipelines demo $(ARGS)

dev: $(ready) ## Start the engines and the Dagster UI; Ctrl-C stops everything
	@$(bin)/memory-pipelines dev $(ARGS)

test: $(ready) ## Run the tests
	@$(bin)/python -m pytest $(ARGS)

check: $(ready) ## Run the linters (no tests): ruff, mypy, import-linter, and the lock against pyproject.toml
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo
	@$(uv) pip check --python $(bin)/python

wheel: $(ready) ## Build the wheel into dist/
	@rm -rf dist
	@$(uv) build --quiet --wheel --no-build-isolation --python $(bin)/python --out-dir dist .
	@ls dist/*.whl

bench: $(ready) ## Measure what the README claims (minutes)
	@$(bin)/python -m benchmarks $(ARGS)

lock: $(made) ## Write requirements.lock anew after a change in pyproject.toml (ARGS=--upgrade takes newer versions)
	@# The build backend, the installer and what an editable install needs are locked too: nothing is installed unpinned.
	@printf 'hatchling\neditables\nuv\n' | $(bin)/$(compile) --extra dev $(ARGS) pyproject.toml - --output-file requirements.lock
	@# What the image holds: the same versions without the development tools, and for Linux.
	@printf 'hatchling\nuv\n' | $(bin)/$(compile) --constraint requirements.lock pyproject.toml - --output-file deploy/requirements.lock
	@echo "requirements.lock: $$(grep -c '==' requirements.lock) packages."

migrations: $(ready) ## Write supabase/migrations anew after a change in the SQL
	@$(bin)/python scripts/supabase_migrations.py

setup: $(ready) ## Only set up .venv
	@:

clean: ## Stop the engines; remove .venv, caches and dist. The memories in .memory stay
	@# Beside a running `dev` nothing is removed from under it; an installation that is broken is no reason to keep it.
	@if [ -x $(bin)/memory-pipelines ]; then \
		said=$$($(bin)/memory-pipelines down 2>&1) || case "$$said" in (*dev_runs*) printf '%s\n' "$$said" >&2; exit 1 ;; esac; \
		printf '%s\n' "$$said"; \
	fi
	@rm -rf $(venv) .venv dist build .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -not -path './.memory/*' -exec rm -rf {} +
	@if [ -d .memory ]; then echo "Left alone: .memory, which holds your data. To drop it too: rm -rf .memory"; fi

# --- Set-up: a virtual environment, then what the lock says, then the project itself ---

$(made):
	@set -e; \
	suitable='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if "$$python" -c "$$suitable" >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		tried=$(or $(PYTHON),python3); \
		echo "Memory Pipelines needs Python 3.11, 3.12 or 3.13; $$tried is: $$("$$tried" --version 2>&1 | head -n 1 || true)" >&2; \
		echo "Install one of them, or name it: PYTHON=/path/to/python3.12 make $(or $(firstword $(MAKECMDGOALS)),demo)" >&2; \
		exit 1; \
	fi; \
	rm -rf $(venv) .venv; \
	$(if $(aside),mkdir -p $(dir $(venv)); ln -s $(venv) .venv;) \
	echo "Making $(venv) with $$("$$found" --version)."; \
	"$$found" -m venv $(venv) || { \
		echo "That Python cannot make a virtual environment. On Debian and Ubuntu, install the package python3-venv." >&2; \
		rm -rf $(venv); exit 1; }; \
	awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements.lock > $(venv)/uv.lock; \
	$(bin)/python -m pip install --quiet --require-hashes --requirement $(venv)/uv.lock; \
	touch $(venv)/.made-with-any $@

$(ready): requirements.lock pyproject.toml | $(made)
	@echo "Installing what requirements.lock names into $(venv) (once; minutes on a slow network)."
	@$(uv) pip sync --quiet --require-hashes --python $(bin)/python requirements.lock
	@$(uv) pip install --quiet --no-deps --no-build-isolation --python $(bin)/python --editable .
	@touch $@
