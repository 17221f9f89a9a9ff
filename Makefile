# vecgate: `make help` lists what can be made. Needs Python 3.11 or newer with pip and venv; everything else is installed here.
.DEFAULT_GOAL := help
.PHONY: help setup demo test conformance conformance-data matrix lint format types protos client toolchains programs promtool test-interop test-kill test-ingest test-pings test-hub bench-encoder bench-faiss bench-ingest bench-telemetry test-rolling bench-processes test-fuzz test-load build clean

PYTHON ?= python3
# On Linux outside a GPU machine: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# saves gigabytes, since PyPI's torch for Linux is the CUDA build.
TORCH_INDEX ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
BENCH_ARGS ?=
# A long run: make conformance CONFORMANCE_EXAMPLES=500 CONFORMANCE_STEPS=40 (a fifth of the examples where a backend is emulated).
CONFORMANCE_EXAMPLES ?=
CONFORMANCE_STEPS ?=
KILLS ?= 200
ROLLS ?= 10
SYNSETS ?= 117659
INGEST_KILLS ?= 5
MESSAGES ?= 1000000
MINUTES ?= 20
# Encoded once, then kept here.
CONFORMANCE_RECORDS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vecgate/wordnet-10000.npz

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
READY := $(VENV)/ready
PROTOS := $(wildcard protos/vecgate/v1/*.proto)
STUBS := clients/python

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "vecgate needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) lacks venv. Install it (Debian: apt-get install python3-venv) and try again."; exit 1; }
	@echo "Setting up $(VENV): a few minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --upgrade pip && $(PIP_INSTALL) --editable '.[all,conformance]' --group test || { \
	    echo "The packages could not be installed: see pip's message above, and whether its index can be reached. Mend it and run the same command again; nothing is lost."; exit 1; }
	@touch $@

setup: $(READY) ## Make the environment in .venv

demo: $(READY) ## Start a server, index 1,000 abstracts, ask questions, restart, ask again
	@$(BIN)/python clients/python/examples/demo.py

test: $(READY) ## Run the test suite (pip only) in two processes (TEST_PROCESSES=0: in one)
	@$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile $(PYTEST_ARGS)

CONFORMANCE := -p vecgate_backends.conformance.plugin --conformance tests/conformance --timeout=7200 \
    $(if $(CONFORMANCE_EXAMPLES),--conformance-examples=$(CONFORMANCE_EXAMPLES)) $(if $(CONFORMANCE_STEPS),--conformance-steps=$(CONFORMANCE_STEPS))
# The matrix tells what everybody can see again: what needs a vendor's server is left out.
WITHOUT_VENDORS := env -u VECGATE_TEST_QDRANT_URL -u PINECONE_API_KEY

conformance: $(READY) ## Run the conformance suite on every backend that is available here, and count by feature
	@$(BIN)/python -m pytest $(CONFORMANCE) $(PYTEST_ARGS)

conformance-data: $(READY) ## Compare the backends on 10,000 WordNet definitions and 200 filtered queries
	@$(BIN)/python -m benchmarks.wordnet_records "$(CONFORMANCE_RECORDS)"
	@$(BIN)/python -m pytest $(CONFORMANCE) -k TestAgreement --conformance-recall=0.97 --conformance-records="$(CONFORMANCE_RECORDS)" $(PYTEST_ARGS)

matrix: $(READY) ## Run the conformance suite and write the capability matrix of the README
	@$(WITHOUT_VENDORS) $(BIN)/python -m pytest $(CONFORMANCE) --conformance-write-matrix=README.md $(PYTEST_ARGS)

lint: $(READY) ## Check style and layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo

format: $(READY) ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: $(READY) ## Check types (mypy, strict)
	@$(BIN)/mypy

protos: $(READY) ## Generate the stubs from protos/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(STUBS) --pyi_out=$(STUBS) $(PROTOS)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --grpc_python_out=$(STUBS) --mypy_grpc_out=$(STUBS) \
	    protos/vecgate/v1/service.proto

client: $(READY) ## Generate the blocking client from the asynchronous one
	@$(BIN)/python clients/python/generate_client.py

LANGUAGES := node go java cpp

toolchains:
	@sh clients/install_toolchains.sh

# Each folder's own Makefile knows what depends on what.
.PHONY: $(LANGUAGES:%=program-%)
$(LANGUAGES:%=program-%): program-%: toolchains
	@echo "Building clients/$*, as far as something changed."
	@$(MAKE) --no-print-directory --silent -C clients/$* || { \
	    echo "clients/$* could not be built: see above. clients/$*/README.md tells what it needs."; exit 1; }

programs: $(LANGUAGES:%=program-%) ## Build the programs in other languages (installs their toolchains with apt-get)

promtool:
	@sh tests/interop/install_promtool.sh .promtool

test-interop: $(READY) programs promtool ## Install other toolchains (apt, npm), build the programs in clients/ and test them; nothing is skipped
	@VECGATE_TEST_LOAD_MINUTES=1 $(BIN)/python -m pytest tests/interop tests/e2e/test_load.py --forbid-skips $(PYTEST_ARGS)

# LangChain and Haystack each bring plugins for pytest and packages of their own.
test-interop: .venv-langchain/ready .venv-haystack/ready
.venv-langchain/ready .venv-haystack/ready: .venv-%/ready: tests/interop/ecosystem/%/requirements.txt pyproject.toml
	@echo "Setting up .venv-$*, for that project's own standard tests."
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< --requirement $< --editable '.[$*]'
	@touch $@

# Checkov pins many packages. It reads what kubectl and the Dockerfile say.
test-interop: .venv-checkov/ready
.venv-checkov/ready: tests/interop/checkov-requirements.txt
	@echo "Setting up .venv-checkov, which reads deploy/."
	@test -x .venv-checkov/bin/python || $(PYTHON) -m venv .venv-checkov
	@.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

test-kill: $(READY) ## Kill a server 200 times in the middle of writes, seals and merges, and check that nothing is lost (KILLS=1000)
	@VECGATE_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest tests/e2e/test_kill.py --log-cli-level=INFO $(PYTEST_ARGS)

test-rolling: $(READY) ## Replace two replicas in turn ten times while an application works, and check that it noticed nothing (ROLLS=50)
	@VECGATE_TEST_ROLLS=$(ROLLS) $(BIN)/python -m pytest tests/e2e/test_rolling_restart.py --log-cli-level=INFO $(PYTEST_ARGS)

test-ingest: $(READY) ## Index all of WordNet by one command while its server is killed five times (SYNSETS=10000 INGEST_KILLS=2)
	@VECGATE_TEST_SYNSETS=$(SYNSETS) VECGATE_TEST_INGEST_KILLS=$(INGEST_KILLS) $(BIN)/python -m pytest tests/e2e/test_ingest.py \
	    --log-cli-level=INFO $(PYTEST_ARGS)

test-pings: $(READY) ## Ping a server between calls as seldom as clients really do, for a minute; make test does it fifty times as fast
	@VECGATE_TEST_PING_SECONDS=10 $(BIN)/python -m pytest tests/e2e/test_connection_care.py -k pings $(PYTEST_ARGS)

test-fuzz: $(READY) ## Send a million wrong messages and frames to servers, and check that nothing breaks or stays behind (MESSAGES=200000)
	@VECGATE_TEST_BAD_BYTES=$(MESSAGES) $(BIN)/python -m pytest tests/e2e/test_bad_messages.py tests/e2e/test_bad_frames.py \
	    --log-cli-level=INFO $(PYTEST_ARGS)

test-load: $(READY) ## Offer a server twice what it can answer for 20 minutes, beside clients that vanish, stall and cancel (MINUTES=2)
	@VECGATE_TEST_LOAD_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/e2e/test_load.py --log-cli-level=INFO $(PYTEST_ARGS)

bench-encoder: $(READY) ## Measure the encoder against SentenceTransformer (BENCH_ARGS='--quick' or '--rows bulk --json FILE')
	@$(BIN)/python -m benchmarks.encoder $(BENCH_ARGS)

CHROMA := .venv-chroma
CHROMA_READY := $(CHROMA)/ready

$(CHROMA_READY):
	@echo "Setting up $(CHROMA), with the server that ours is compared with."
	@test -x $(CHROMA)/bin/python || $(PYTHON) -m venv $(CHROMA)
	@$(CHROMA)/bin/python -m pip install --quiet --disable-pip-version-check chromadb==1.5.9 numpy
	@touch $@

bench-faiss: $(READY) $(CHROMA_READY) ## Measure the Faiss backend through a server, against raw Faiss, an empty server and Chroma
	@VECGATE_BENCH_CHROMA=$(CHROMA)/bin/python $(BIN)/python -m benchmarks.faiss $(BENCH_ARGS)

bench-ingest: $(READY) ## Measure upsert_many() through a server, against a loop of upsert()
	@$(BIN)/python -m benchmarks.ingest $(BENCH_ARGS)

bench-telemetry: $(READY) ## Measure what metrics and traces cost a call
	@$(BIN)/python -m benchmarks.telemetry $(BENCH_ARGS)

bench-processes: $(READY) ## Measure two server processes against one, in front of one store
	@$(BIN)/python -m benchmarks.processes $(BENCH_ARGS)

test-hub: $(READY) ## Download the four published models and a cross-encoder, and test them (gigabytes; needs a network)
	@VECGATE_TEST_HUB=1 $(BIN)/python -m pytest -m hub $(PYTEST_ARGS)

build: $(READY) ## Build the wheel and the source distribution in dist/
	@$(PIP_INSTALL) build && $(BIN)/python -m build --outdir dist .

clean: ## Remove everything that was made here, the demo's data included
	@for language in $(LANGUAGES); do $(MAKE) --no-print-directory --silent -C clients/$$language clean || exit 1; done
	@rm -rf $(VENV) $(CHROMA) .venv-langchain .venv-haystack .venv-checkov .promtool .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
