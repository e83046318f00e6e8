# make demo | make test: the two commands of the README. Everything happens in .venv; a second run installs nothing.
SHELL := /bin/bash
# make install PYTHON=/path/to/python3.12: another Python than python3; .venv remembers it
export PYTHON
# The installed wheel is what runs and is tested: nothing puts the folder beside it on sys.path, in children neither.
# .venv/bin comes last, for it may hold a small redis-server of its own that must not hide the system's.
RUN := PYTHONSAFEPATH=1 PYTHONPATH= PATH="$$PATH:$(CURDIR)/.venv/bin" .venv/bin

.PHONY: help install demo test soak check docs sbom system clean
.DEFAULT_GOAL := help

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: ## set up .venv (as root also the Debian packages) and nothing else
	@bash deploy/setup/install.sh demo

demo: install ## the main job once, on real processes: make demo [STUDY=folder] [SEG=file] [KEEP=1]
	@$(RUN)/crlm-node demo $(if $(STUDY),--study '$(STUDY)') $(if $(SEG),--seg '$(SEG)') $(if $(KEEP),--keep)

# A file goes to one process, so that its site is started once, and in the order that tests/conftest.py gives them. Many
# tests wait for something, so there is one process more than cores; more than four would wait for each other's disks.
test: ## all tests, on all cores: make test [ARGS="-k liver"]
	@bash deploy/setup/install.sh test
	@$(RUN)/pytest -n $$(n=$$(nproc); echo $$((n < 4 ? n + 1 : 4))) --dist loadfile --no-loadscope-reorder $(ARGS)

# The tests come last on sys.path: what they find of the product is the installed wheel.
soak: ## a thousand faults, two hours at most, report in docs/soak.md: make soak [ARGS="--faults 100 --hours 0.5"]
	@bash deploy/setup/install.sh test
	@$(RUN)/python -c 'import runpy, sys; sys.path += ["$(CURDIR)", "$(CURDIR)/tests/support"]; \
		runpy.run_module("tests.faults.soak", run_name="__main__", alter_sys=True)' $(ARGS)

check: ## ruff, mypy, the import contracts and the links of the docs
	@bash deploy/setup/install.sh check
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy --strict node workers
	@$(RUN)/lint-imports --no-cache
	@NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --strict # with --quiet it would count no warning

docs: ## the pages of docs/ as a site in build/site
	@bash deploy/setup/install.sh check
	@NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --strict

sbom: ## bills of material in build/sbom, and docs/licences.md
	@bash deploy/setup/install.sh check
	@$(RUN)/python deploy/sbom.py

system: ## print the Debian packages that are missing, and install them on consent
	@bash deploy/setup/packages.sh ask

clean: ## remove what the other commands made, .venv too
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find node workers tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
