# Two commands: `make run` (set-up, embedded data, all four steps), `make test` (set-up, all checks).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: run test setup lock lint unit data ui clean

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

ui:
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1

lock: # after a change of pyproject.toml's dependencies
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras --python-version 3.11 --universal pyproject.toml requirements-build.in -o requirements.txt
	echo uv | uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --universal - -o requirements-uv.txt

clean:
	rm -rf $(VENV) build
