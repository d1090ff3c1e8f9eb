# Two commands: `make run` (set-up, embedded data, all four steps), `make test` (set-up, all checks).
PYTHON ?= python3
VENV := .venv
ROLES := data train onnx register
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A dozen processes import torch: with its bytecode written once, that takes half the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test setup lock lint unit gpu data ui images containers clean

run: setup data
	dvc repro
	fourstep summary

test: setup lint unit

setup: $(BIN)/.installed

# The lock has hashes and no addresses: packages come from the index that pip is set up with.
$(BIN)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

data:
	test -e data || $(BIN)/fourstep demo-data data

lint:
	ruff check .
	ruff format --check .
	mypy

unit:
	pytest

images: setup # BASE=python:... PUSH=registry.example.com/team OPTIONS="--option=..."
	fourstep images $(if $(BASE),--base $(BASE)) $(if $(PUSH),--push $(PUSH)) $(OPTIONS)

gpu: setup # the tests that need a GPU; `make test` leaves it alone
	FOURSTEP_GPU=1 pytest tests/components/test_no_sync.py tests/components/test_batches.py tests/benchmarks/test_quick.py

containers: setup # needs a container engine and its `make images`
	FOURSTEP_CONTAINERS=1 pytest tests/containers

ui:
	@echo "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning has the runs, once this has started:"
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1

COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11

lock: # after a change of pyproject.toml's dependencies
	$(COMPILE) --all-extras pyproject.toml requirements-build.in -o requirements.txt
	echo uv | $(COMPILE) - -o requirements-uv.txt
	for role in $(ROLES); do \
	  $(COMPILE) --group $$role --constraint requirements.txt -o requirements/$$role.txt || exit 1; done

clean:
	rm -rf $(VENV) build

.PHONY: bench
bench: setup # under 20 minutes on 2 cores, with nothing else running; see docs/performance.md
	python -m benchmarks

.PHONY: chaos
chaos: setup # kills every stage again and again; under 20 minutes on 2 cores; see docs/reliability.md
	python -m benchmarks.chaos

# Tools that look at the lock and are no part of it: each in an environment of its own.
PIP_AUDIT := uv tool run pip-audit@2.10.1
CYCLONEDX := uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py
VULNERABILITIES ?= pypi
SBOM := build/sbom.json

.PHONY: audit sbom
audit: setup # known vulnerabilities of what is locked; VULNERABILITIES=osv asks osv.dev instead
	@# Strict: a package that could not be looked up fails, so no answer is no pass.
	$(PIP_AUDIT) --strict --vulnerability-service $(VULNERABILITIES) --progress-spinner off \
	  --disable-pip --require-hashes --requirement requirements.txt

sbom: setup # what is locked, with its hashes, as CycloneDX; the same lock gives the same bytes
	mkdir -p $(dir $(SBOM))
	$(CYCLONEDX) requirements --index-url "" --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file $(SBOM) requirements.txt
	$(BIN)/python -m cli.sbom $(SBOM)
