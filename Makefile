# The targets need Python >= 3.11 and make, and what their help text names. `make help` lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The first interpreter on PATH with a tested version, else a newer one; override with PYTHON=/path/to/python3.14.
PYTHON ?= $(shell for last in 3.14 3.99; do for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; last = tuple(map(int, sys.argv[1].split("."))); sys.exit(not (3, 11) <= sys.version_info[:2] <= last)' \
  $$last 2>/dev/null && echo $$p && exit; done; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ARGS ?=
PYTEST := $(BIN)/python -m pytest

.PHONY: help install demo test test-charts faults mutants fuzz quota bench image sbom image-test cluster-up cluster-down demo-cluster kubectl cluster long check lint types layers drift generate unit format picture ci lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## create the virtual environment from the lock file with hashes

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer on PATH; set PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; found = sys.version_info[:2]; \
	  found < (3, 11) and sys.exit("make: PYTHON is %d.%d, which is too old: set it to 3.11 or newer" % found); \
	  found > (3, 14) and sys.stderr.write("make: warning: Python %d.%d is not tested, 3.11 to 3.14 are\n" % found)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip --disable-pip-version-check install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## run the daemon against a strict AWS on this machine (ARGS=--keep keeps it running)
	@$(BIN)/python -m examples.local $(ARGS)

test: $(READY)  ## run the tests that need only Python and make
	$(PYTEST) -n 4 --dist worksteal $(ARGS)

CHARTS_READY := $(VENV)/.charts-installed
test-charts: $(CHARTS_READY)  ## test the charts, alerts and dashboard with real helm and Prometheus (Debian: prometheus)
	$(PYTEST) -q -n 2 --dist loadfile $(ARGS) tests/charts

$(CHARTS_READY): requirements/charts.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/charts.txt
	@touch $@

faults: $(READY)  ## inject each fault in each phase into the real process (minutes; needs root)
	$(PYTEST) -q tests/faults --ignore tests/faults/test_flood.py -n 4
	$(PYTEST) -q tests/faults/test_flood.py

mutants: $(READY)  ## make each deliberate fault in a copy of the code; its tests must fail
	$(BIN)/python scripts/mutants.py $(ARGS)

FUZZ_SECONDS ?= 60
FUZZ_READY := $(VENV)/.fuzz-installed
fuzz: $(FUZZ_READY)  ## run coverage-guided fuzzing, FUZZ_SECONDS for each target
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

$(FUZZ_READY): requirements/fuzz.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/fuzz.txt
	@touch $@

quota: $(READY)  ## test the daemon with a CPU limit of 0.1, and print figures (needs root)
	$(PYTEST) -q tests/quota

BENCH_READY := $(VENV)/.bench-installed
bench: $(BENCH_READY)  ## measure performance, and compare it with other servers (ARGS=--quick; needs root)
	@$(BIN)/python -m tests.bench $(ARGS)

$(BENCH_READY): requirements/bench.txt $(READY)
	$(BIN)/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/bench.txt
	@touch $@

image:  ## build the container image and print its size (ARGS=--debootstrap builds without a registry)
	$(PYTHON) -m image.build $(ARGS)

sbom:  ## write the bill of materials of the built image
	$(PYTHON) -m image.sbom $(ARGS)

image-test: $(READY)  ## build the image twice, check each file, and run it (needs root)
	$(PYTEST) -q tests/image

cluster-up: $(READY)  ## start a real one-node Kubernetes on this machine (root, Go; KUBE_VERSION=1.33.13)
	@$(BIN)/python -m tests.cluster up

cluster-down: $(READY)  ## end that Kubernetes, and remove its files and groups
	@$(BIN)/python -m tests.cluster down

demo-cluster: $(READY)  ## run the tutorial on that Kubernetes, with real tokens, the image and unmodified clients
	@$(BIN)/python -m tests.cluster.demo

kubectl: $(READY)  ## run kubectl with that Kubernetes (ARGS="get pods -A")
	@$(BIN)/python -m tests.cluster kubectl $(ARGS)

cluster: $(READY)  ## run the tests that need a real Kubernetes (root, Go; the first run builds it: minutes)
	$(PYTEST) -q tests/cluster

check: lint types layers drift unit  ## run the checks that must pass before a commit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/words.py

# The types of the standard library differ between the oldest and the newest supported Python.
types: $(READY)
	$(BIN)/mypy --python-version 3.11
	$(BIN)/mypy --python-version 3.14

layers: $(READY)
	$(BIN)/lint-imports

drift: $(READY)
	$(BIN)/python scripts/generate.py --check
	$(BIN)/python scripts/chart_docs.py --check
	$(BIN)/python scripts/rules.py --check
	$(BIN)/python scripts/mutants.py --check
	$(BIN)/python -m tests.bench.page --check

generate: $(READY)  ## write the documents that are generated from the code and the tests
	$(BIN)/python scripts/generate.py
	$(BIN)/python scripts/chart_docs.py
	$(BIN)/python scripts/rules.py
	$(BIN)/python scripts/mutants.py --document
	$(BIN)/python -m tests.bench.page

unit: $(READY)
	$(PYTEST) -q -n 2 $(ARGS) tests/unit tests/property tests/local tests/test_architecture.py

format: $(READY)  ## format the sources with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

picture: $(READY)  ## run the demo and write the picture of its output, docs/images/demo.svg
	$(BIN)/python scripts/picture.py

ci:  ## run continuous integration
	bash .ci/run

SUITE ?=
long: $(READY)  ## run the suites that are too long for continuous integration, and write their records (SUITE=bench; default all)
	$(BIN)/python scripts/long.py run $(SUITE)
	$(BIN)/python -m tests.bench.page

# The lock files have hashes and no index address, so they work with any index or mirror.
UV_COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock:  ## resolve the dependencies, and write the lock files (needs uv)
	$(UV_COMPILE) pyproject.toml -o requirements/runtime.txt
	$(UV_COMPILE) --all-extras -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/fuzz.in -o requirements/fuzz.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/bench.in -o requirements/bench.txt
	$(UV_COMPILE) -c requirements/dev.txt requirements/charts.in -o requirements/charts.txt

clean:  ## remove the virtual environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
