# Two commands do everything on a machine with Python 3.11 or newer and make: `make demo` and `make test`.
# The environment is .venv in this checkout; nothing outside it is installed.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := keydesk tui jobs store bench tests

# Compiled once, and not by each of the thousand processes that the suite starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test check bench bench-short torture lock clean

demo: .venv/ready ## the desk on a living world in a temporary folder
	$(BIN)/keydesk demo

run: .venv/ready ## the desk on your own store
	$(BIN)/keydesk

test: .venv/ready-dev ## the whole suite, on SQLite and PostgreSQL
	$(BIN)/pytest

check: .venv/ready-dev ## lint, types, import contracts, the built wheel, the units
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/built_wheel.py
	$(BIN)/python tests/hardened_units.py

bench: .venv/ready-dev ## speed against peers and bare libraries at 1,000,000 keys: forty minutes, 10 GB of disk
	$(BIN)/python -m bench --full

bench-short: .venv/ready-dev ## the same with a night and a month of 10,000 companies: some minutes
	$(BIN)/python -m bench

torture: .venv/ready-dev ## years of chaos, every act killed before every statement, a fault after each
	PYTHONPATH=tests $(BIN)/python -m torture --all

# Installed by hash: the same packages everywhere, or none.
.venv/ready: requirements.lock pyproject.toml | .venv/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

.venv/ready-dev: requirements-dev.lock pyproject.toml | .venv/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@ .venv/ready

.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keydesk needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

lock: .venv/bin/uv ## pin again, after a change of pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--extra postgres pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--extra postgres --extra dev pyproject.toml --output-file requirements-dev.lock

clean:
	rm -rf .venv build dist
