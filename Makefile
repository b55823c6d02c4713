# Each target does its own set-up on a fresh machine: a virtual environment in .venv with pinned versions.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
DOCS_READY := .venv/docs-ready
RAY_READY := .venv-ray/ready
BENCHMARL_READY := .venv-benchmarl/ready
CLIENTS_READY := .venv-clients/ready
AXE := build/axe/node_modules/axe-core/axe.min.js
SEED ?= 0
TORCH ?= torch==2.13.0
# a module is compiled when it is first imported, which most never are; and once, not by each of many processes
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
export PYTHONDONTWRITEBYTECODE :=
# the linear algebra here is many small problems: threads that wait for each other make it several times slower
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.PHONY: run test test-ray test-benchmarl test-clients test-slow check format bench docs browser test-docs docs-serve gifs wheel clean

run: $(READY)  ## train on the default market, compare with its equilibrium, write runs/acas/report.html
	$(BIN)/makertaker train acas --seed $(SEED) --out runs/acas --overwrite
	$(BIN)/makertaker report runs/acas

test: $(READY)  ## fast tests, one process for each processor
	$(BIN)/python -m pytest -q -n auto --dist loadfile

test-slow: $(READY) $(RAY_READY)  ## tests that train for minutes; with Ray too
	$(BIN)/python -m pytest -q -m slow
	RAY_AUTH_MODE=disabled .venv-ray/bin/python -m pytest -q -m slow tests/training/rllib

test-ray: $(RAY_READY)  ## what needs Ray, in an environment of its own: RLlib, sweeps; no token file in anybody's home
	RAY_AUTH_MODE=disabled RAY_worker_niceness=0 .venv-ray/bin/python -m pytest -q -m "not slow and not site" tests/training/rllib tests/training/test_sweep.py tests/training/test_locales.py tests/clients tests/site/test_docs.py tests/site/test_reference.py -k "rllib or sweep or ray"

test-benchmarl: $(BENCHMARL_READY)  ## BenchMARL's algorithms, in an environment of their own
	.venv-benchmarl/bin/python -m pytest -q -m "not slow and not site" tests/training/benchmarl tests/envs/test_routes.py tests/site/test_docs.py tests/site/test_reference.py -k "benchmarl or test_routes"

test-clients: $(CLIENTS_READY) $(READY)  ## other people's libraries and the recipes for them, in an environment of their own; TorchRL here
	.venv-clients/bin/python -m pytest -q -m clients tests/clients tests/site/test_docs.py
	$(BIN)/python -m pytest -q -m clients tests/clients tests/site/test_docs.py -k "torchrl or batch"

check: $(READY)  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/hooks
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## throughput and solver benchmarks
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/solver.py

docs: $(DOCS_READY)  ## the documentation site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-docs: docs $(AXE)  ## the site in a browser: search, contrast, phones, the tutorial's notebook; needs chromium and npm
	SITE=build/site $(BIN)/python -m pytest -q -m site -n auto tests/site/test_site.py

docs-serve: $(DOCS_READY)  ## the same on http://127.0.0.1:8000, built anew as files change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

gifs: $(READY)  ## the films of the environments' pages, docs/figures/*.gif; make docs shows those that are there
	$(BIN)/makertaker train acas --engine jax --algorithm reinforce --out runs/gif --overwrite
	$(BIN)/makertaker render runs/gif --fps 5 --out docs/figures/acas.gif --overwrite
	for name in execution-2 maker-taker-3x3 approximation; do \
		$(BIN)/makertaker render $$name --fps 5 --out docs/figures/$$name.gif --overwrite || exit 1; \
	done

wheel: $(READY)
	rm -rf build dist
	$(BIN)/python -m build

clean:
	rm -rf build dist *.egg-info .venv .venv-ray .venv-benchmarl .venv-clients

# torch first: pip then leaves the build it has. On Linux PyPI's default build brings GPU libraries; for the small one:
#   make run TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
.venv/torch: constraints.txt
.venv-ray/torch: constraints-ray.txt
.venv-benchmarl/torch: requirements-benchmarl.txt
.venv-clients/torch: requirements-clients.txt
.venv/torch .venv-ray/torch .venv-benchmarl/torch .venv-clients/torch:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) $(TORCH)
	touch $@

$(READY): .venv/torch pyproject.toml setup.py constraints.txt
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[all]"
	touch $(READY)

# Ray's RLlib wants an older gymnasium than the rest, BenchMARL an older TorchRL. Libraries first: they may be installed
# beside other environments, where the package itself, which writes makertaker.egg-info, may not
.venv-ray/libraries: .venv-ray/torch
	.venv-ray/bin/python $(INSTALL) -r constraints-ray.txt
	touch $@
.venv-benchmarl/libraries: .venv-benchmarl/torch
	.venv-benchmarl/bin/python $(INSTALL) -r requirements-benchmarl.txt
	touch $@

$(RAY_READY): .venv-ray/libraries pyproject.toml setup.py
	.venv-ray/bin/python $(INSTALL) -c constraints-ray.txt -e ".[ray,jax]" pytest
	touch $(RAY_READY)

$(BENCHMARL_READY): .venv-benchmarl/libraries pyproject.toml setup.py
	.venv-benchmarl/bin/python $(INSTALL) -e .
	touch $(BENCHMARL_READY)

# a complete list of versions: some of these libraries ask for what they do not need, and exclude each other
$(CLIENTS_READY): .venv-clients/torch pyproject.toml setup.py requirements-clients.txt
	.venv-clients/bin/python $(INSTALL) --no-deps -r requirements-clients.txt -e .
	touch $(CLIENTS_READY)

$(DOCS_READY): .venv/torch pyproject.toml setup.py constraints.txt
	$(BIN)/python $(INSTALL) -c constraints.txt -e ".[all,docs]"
	touch $(READY) $(DOCS_READY)

browser: $(AXE)  ## what looks at pages: a browser where there is none yet, and rules of accessibility
$(AXE):
	command -v chromium || command -v google-chrome || { apt-get update && apt-get install -y --no-install-recommends chromium; }
	command -v npm || apt-get install -y --no-install-recommends npm
	npm install --silent --no-audit --no-fund --prefix build/axe axe-core@4.14.1
