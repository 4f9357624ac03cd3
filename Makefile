# Each target sets up what it needs: a virtual environment in .venv and the compiled extension.
PYTHON ?= python3
PORT ?= 8000
# Instruction sets of the extension: native is this processor's, all what a wheel holds. What was built once stays.
WIDTH = $(or $(VARIANTS),native)
# make test leaves out the tests that are marked `thorough`; TESTS=all runs them too. It runs a process more than there are
# processors, for some tests wait, each on one thread, for threads of several processes are in each other's way; with
# TESTS=all one for each processor, on all threads. Bytecode is kept: hundreds of tests start Python anew.
THOROUGH = $(if $(filter all,$(TESTS)),,-m "not thorough")
WORKERS = $(if $(THOROUGH),$$(($$(nproc) + 1)),auto)
THREADS = $(if $(THOROUGH),NEEDLE_NUM_THREADS=1)
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -type f) CMakeLists.txt
.DEFAULT_GOAL := help
# Install a list of requirements out of pyproject.toml, where p is its table `project`.
define needs
$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*$(1), sep="\n")' > $(VENV)/needs-$(2).txt
	$(BIN)/python -m pip install --quiet --no-compile -r $(VENV)/needs-$(2).txt
endef
.PHONY: help build serve test clients check bench fuzz sanitize cuda-check clean tools FORCE

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | awk -F': ' '{printf "  make %-10s %s\n", $$1, $$2}'

tools:
	@command -v $(PYTHON) >/dev/null || { echo "needle needs Python 3.11 or newer; '$(PYTHON)' was not found (make PYTHON=/path/to/python3)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needle needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "needle needs a C++17 compiler; none was found (install g++ or clang++, or set CXX)"; exit 1; }

# What compiles comes first, so that the rest is installed while the compiler runs.
$(VENV)/.tools: pyproject.toml | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian: apt install python3-venv"; exit 1; }
	@echo "installing what needle needs into $(VENV): a minute or so, once"
	$(call needs,p["optional-dependencies"]["build"],build)
	@touch $@

$(VENV)/.ready: $(VENV)/.tools
	$(call needs,p["dependencies"],run)
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.ready
	$(call needs,p["optional-dependencies"]["test"],test)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.test
	$(call needs,p["optional-dependencies"]["dev"],dev)
	@touch $@

$(VENV)/.peers: pyproject.toml | $(VENV)/.dev
	$(call needs,sum((p["optional-dependencies"][extra] for extra in ("peers", "clients", "onnx", "telemetry", "postgres")), []),peers)
	@touch $@

$(VENV)/.width: $(VENV)/.tools FORCE
	@case "$$(cat $@ 2>/dev/null):$(WIDTH)" in all:*|$(WIDTH):*) ;; *) echo $(WIDTH) > $@ ;; esac

$(VENV)/.built: $(VENV)/.tools $(VENV)/.width $(SOURCES)
	@echo "compiling needle's extension: a minute or two, once"
	PATH="$(CURDIR)/$(BIN):$$PATH" flock $(VENV)/.lock $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --config-settings=cmake.define.NEEDLE_VARIANTS=$$(cat $(VENV)/.width) --editable .
	@touch $@
	@echo "the commands are $(BIN)/needle-zoo, $(BIN)/needle-deploy and $(BIN)/needle-serve; '. $(BIN)/activate' puts them on the path"

build: tools  ## compile the extension (does nothing when nothing changed)
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.built $(VENV)/.ready

serve: build  ## serve the zoo over HTTP on http://127.0.0.1:8000
	@echo "starting the server; its first start compiles the model, a minute or so, and answers meanwhile"
	$(BIN)/needle-serve --port $(PORT)

test: tools  ## run the tests, on all processors; TESTS=all runs the long ones too, as continuous integration does
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.built $(VENV)/$(if $(THOROUGH),.test,.dev)
	PYTHONDONTWRITEBYTECODE= $(THREADS) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(THOROUGH)

clients: build $(VENV)/.test  ## tools of others against a running server: OpenAPI, schemathesis, lm-evaluation-harness, KServe
	$(call needs,p["optional-dependencies"]["clients"] + p["optional-dependencies"]["tools"],clients)
	test -x $(VENV)/kserve/bin/python || $(PYTHON) -m venv $(VENV)/kserve
	$(VENV)/kserve/bin/python -m pip install --quiet 'kserve>=0.15' || echo "going on without KServe's client"
	$(BIN)/python -m tests.clients

check: build $(VENV)/.dev  ## ruff, mypy and the layer test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

bench: build  ## side by side with PyTorch, numpy and ONNX Runtime, where they are installed; prints ratios
	$(BIN)/python -m bench

fuzz: build $(VENV)/.test  ## 100,000 random and hostile calls of the Python surface; only documented exceptions may come back
	$(BIN)/python -m tests.fuzz --calls 100000

sanitize: build  ## the kernels' C++ tests under AddressSanitizer, UBSan and ThreadSanitizer
	tests/csrc/sanitize.sh

cuda-check: build $(VENV)/.test  ## what can be shown of cuda() without a device: emulated and sanitized; nvcc for every architecture
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHON="$(CURDIR)/$(BIN)/python" tests/cuda/check.sh

clean:  ## remove the build and the virtual environment
	rm -rf build $(VENV) needle/backend_ndarray/*.so
