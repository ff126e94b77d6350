# One word for each thing one does here. `make run` needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUF := .tools/node_modules/.bin/buf
S3 := .tools/s3/versitygw
S3_VERSION := v1.8.0
SEEDS ?= 300
FAULTS ?= 50
SEED ?= 1
FIRST ?= 0
TRL := .venv-trl

.PHONY: run test test-trl check bench simulate chaos image s3 clean

run: $(VENV)/light  ## the bundled sample through all services: dataset.jsonl and report.html
	$(BIN)/concord run sample

test: $(VENV)/dev  ## all tests, on a real Kafka broker, PostgreSQL and (after `make s3`) S3 server among other things
	$(BIN)/pytest

test-trl: $(TRL)/trl  ## TRL's own trainers on an export; torch, so a virtual environment of its own
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(TRL)/bin/pytest -m trl tests/test_trl.py

check: $(VENV)/dev $(BUF)  ## style, types and the contract's compatibility
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BUF) lint
	$(BUF) breaking --against deploy/protos/released.binpb

bench: $(VENV)/dev  ## every benchmark; results go to benchmarks/results
	$(BIN)/python -m benchmarks

simulate: $(VENV)/dev  ## the whole cluster in one thread, with faults: make simulate SEEDS=1000 FIRST=5000
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

chaos: $(VENV)/dev  ## a real cluster in which everything goes wrong (as root, after `make s3`): make chaos FAULTS=100 SEED=7
	$(BIN)/python -m tests.chaos --faults $(FAULTS) --seed $(SEED)

s3: $(S3)  ## a real S3 server for the tests (three minutes of Go, once); without it they use an imitation

image: $(BUF)  ## after a release: the contract that later versions must stay compatible with
	$(BUF) build -o deploy/protos/released.binpb

$(VENV)/bin/python $(TRL)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(@D:/bin=) || { echo "no virtual environment: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/light: $(VENV)/bin/python pyproject.toml hatch_build.py $(wildcard protos/concord/v1/*.proto)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable .
	@touch $@

$(VENV)/dev: $(VENV)/light
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(TRL)/trl: $(TRL)/bin/python pyproject.toml hatch_build.py $(wildcard protos/concord/v1/*.proto)
	$(TRL)/bin/pip install --quiet --disable-pip-version-check --no-compile --editable '.[trl]'
	@touch $@

$(BUF):
	@command -v npm >/dev/null || { echo "npm is needed for buf, which checks the protos: install Node.js"; exit 1; }
	npm install --silent --no-fund --no-audit --prefix .tools @bufbuild/buf@1.75.0

$(S3):
	@command -v go >/dev/null || { echo "Go is needed to build VersityGW: install it, or do without: the tests use moto then"; exit 1; }
	CGO_ENABLED=0 GOBIN=$(abspath $(dir $(S3))) go install -ldflags "-s -w" github.com/versity/versitygw/cmd/versitygw@$(S3_VERSION)

clean:
	rm -rf $(VENV) $(TRL) .tools concord-data
