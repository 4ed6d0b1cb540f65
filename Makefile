# Two commands do all set-up on a fresh machine: `make demo` and `make test`. `python -m local …` works without make.
PYTHON ?= $(shell command -v python3.13 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python
SOURCES := function_app.py handlers shared components local tests bench docs infra

# Without compiled files every process of the stack and of the tests would compile the code anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo run reset test check types types-on-cluster format generate bench load screenshots requirements resolve-cluster clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed node_modules/.installed ## install everything into .venv and node_modules

$(VENV)/.installed: requirements-dev.txt requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { \
	  echo "LabelLoop needs Python 3.13 as '$(PYTHON)'. Get it from python.org, 'uv python install 3.13' or"; \
	  echo "'pyenv install 3.13', or name it: make PYTHON=/path/to/python3.13 ..."; exit 1; }
	@echo "installing Python packages into $(VENV) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv
	@$(RUN) -m uv pip sync --quiet --python $(RUN) requirements-dev.txt
	@touch $@

node_modules/.installed: package.json package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || { \
	  echo "LabelLoop's local stack needs Node.js 20 or newer (for Azurite). Get it from nodejs.org."; exit 1; }
	@echo "installing Azurite into node_modules ..."
	@npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

demo: setup ## run the whole loop once (DATA=folder for your own images)
	@$(RUN) -m local demo $(if $(DATA),--data "$(DATA)")

run: setup ## start the local stack and keep it
	@$(RUN) -m local run

reset: setup ## delete the state that `make run` keeps
	@$(RUN) -m local reset

test: setup ## all tests and checks
	@$(MAKE) --no-print-directory check
	@$(RUN) -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report=term-missing:skip-covered --cov-fail-under=95

check: setup ## lint, format, types, generated files
	@$(RUN) -m ruff check $(SOURCES)
	@$(RUN) -m ruff format --check $(SOURCES)
	@$(RUN) -m docs.generate --check
	@$(MAKE) --no-print-directory --jobs 2 types types-on-cluster

types: setup
	@$(RUN) -m mypy

types-on-cluster: setup
	@$(RUN) -m mypy --python-version 3.11 shared components

format: setup ## format the code
	@$(RUN) -m ruff check --fix $(SOURCES)
	@$(RUN) -m ruff format $(SOURCES)

generate: setup ## write the files that are derived from code
	@$(RUN) -m docs.generate

requirements: ## compile the pinned requirements
	@$(RUN) -m uv pip compile --quiet --no-emit-index-url --no-annotate --custom-compile-command "make requirements" \
	  --python-version 3.13 --universal -o requirements.txt pyproject.toml
	@$(RUN) -m uv pip compile --quiet --no-emit-index-url --no-annotate --custom-compile-command "make requirements" \
	  --python-version 3.13 --universal --constraint requirements.txt --group dev -o requirements-dev.txt pyproject.toml

load: setup ## drop 2,000 images on a local stack, then 20,000
	@$(RUN) -m bench.load

bench: setup ## run the benchmarks
	@$(RUN) -m bench.cold_start
	@$(RUN) -m bench.labels
	@$(RUN) -m bench.datasets
	@$(RUN) -m bench.results
	@$(RUN) -m bench.scoring
	@$(RUN) -m bench.thresholds

screenshots: setup ## take the README's pictures of the page
	@$(RUN) -m docs.screenshots

resolve-cluster: ## check that the pins of the cluster's environment fit together
	@$(RUN) -c "import yaml; print(*yaml.safe_load(open('components/environment.yaml'))['dependencies'][-1]['pip'], sep='\n')" \
	  | $(RUN) -m uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 - > /dev/null

clean: ## delete what was installed and all local state
	@rm -rf $(VENV) node_modules .local
