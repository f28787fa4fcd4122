# Everything here needs Python >= 3.11 and make, and nothing else. `make help` lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The first interpreter on PATH that is new enough; override with PYTHON=/path/to/python3.13.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ARGS ?=
PYTEST := $(BIN)/python -m pytest

.PHONY: help install demo test test-charts faults mutants fuzz quota bench image sbom image-test cluster-up cluster-down demo-cluster kubectl cluster check lint types layers drift generate unit format ci lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## create the virtual environment from the hashed lock

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 to 3.13 on PATH; set PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip --disable-pip-version-check install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## run the main job against a strict AWS on this machine (ARGS=--keep leaves it running)
	@$(BIN)/python -m examples.local $(ARGS)

test: $(READY)  ## all tests that need Python and make alone
	$(PYTEST) -n 4 --dist worksteal $(ARGS)

CHARTS_READY := $(VENV)/.charts-installed
test-charts: $(CHARTS_READY)  ## the charts, their alerts and dashboard, by real helm and Prometheus (Debian: prometheus)
	$(PYTEST) -q -n 2 --dist loadfile tests/charts

$(CHARTS_READY): requirements/charts.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/charts.txt
	@touch $@

faults: $(READY)  ## every fault in every phase against the real process: minutes (needs root)
	$(PYTEST) -q tests/faults --ignore tests/faults/test_flood.py -n 4
	$(PYTEST) -q tests/faults/test_flood.py

mutants: $(READY)  ## break the code on purpose, invariant by invariant: each break must fail a test
	$(BIN)/python scripts/mutants.py $(ARGS)

FUZZ_SECONDS ?= 60
FUZZ_READY := $(VENV)/.fuzz-installed
fuzz: $(FUZZ_READY)  ## coverage-guided fuzzing, FUZZ_SECONDS for each target
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

$(FUZZ_READY): requirements/fuzz.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/fuzz.txt
	@touch $@

quota: $(READY)  ## a container's CPU limit: five profiles, one child, figures (needs root)
	$(PYTEST) -q tests/quota

BENCH_READY := $(VENV)/.bench-installed
bench: $(BENCH_READY)  ## one table of figures from one run, beside peers (ARGS=--quick; root for the CPU quota)
	@$(BIN)/python -m tests.bench $(ARGS)

$(BENCH_READY): requirements/bench.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/bench.txt
	@touch $@

image:  ## build the container image and print its size (ARGS=--debootstrap: without a registry)
	$(PYTHON) -m image.build $(ARGS)

sbom:  ## write the bill of materials of the image that was built
	$(PYTHON) -m image.sbom $(ARGS)

image-test: $(READY)  ## build the image twice, look at every file, run it (needs root)
	$(PYTEST) -q tests/image

cluster-up: $(READY)  ## a real one-node Kubernetes on this machine (root, Go; KUBE_VERSION=1.33.13)
	@$(BIN)/python -m tests.cluster up

cluster-down: $(READY)  ## end it, and leave nothing
	@$(BIN)/python -m tests.cluster down

demo-cluster: $(READY)  ## the tutorial on that Kubernetes: real tokens, the image that ships, unmodified clients
	@$(BIN)/python -m tests.cluster.demo

kubectl: $(READY)  ## kubectl against it (ARGS="get pods -A")
	@$(BIN)/python -m tests.cluster kubectl $(ARGS)

cluster: $(READY)  ## what only a real Kubernetes decides (root, Go; the first time builds it: minutes)
	$(PYTEST) -q tests/cluster

check: lint types layers drift unit  ## what must be green before a commit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

drift: $(READY)
	$(BIN)/python scripts/generate.py --check
	$(BIN)/python scripts/chart_docs.py --check
	$(BIN)/python scripts/mutants.py --check

generate: $(READY)  ## write the documents that are made from the code
	$(BIN)/python scripts/generate.py
	$(BIN)/python scripts/chart_docs.py
	$(BIN)/python scripts/mutants.py --document

unit: $(READY)
	$(PYTEST) -q -n 2 tests/unit tests/property tests/local tests/test_architecture.py

format: $(READY)  ## rewrite the sources as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ci: $(READY)  ## what continuous integration runs
	bash .ci/run

# The locks carry hashes and no index address: any mirror or index serves them.
UV_COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock:  ## resolve the dependencies anew (needs uv)
	$(UV_COMPILE) pyproject.toml -o requirements/runtime.txt
	$(UV_COMPILE) --all-extras -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/fuzz.in -o requirements/fuzz.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/bench.in -o requirements/bench.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/charts.in -o requirements/charts.txt

clean:  ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
