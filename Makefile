# Two commands do all the set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-market1501 check docs install clean

demo: install
	rm -rf demo
	$(BIN)/hatcnn demo --out demo

# A file's tests stay together, since they share what is slow to make.
test: install
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The tests on the real data; HATCNN_MARKET1501 names its folder or zip.
test-market1501: install
	$(BIN)/pytest -m market1501

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'hatcnn needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[train,export,openvino-int8,serve,dev]"
	touch $@

clean:
	rm -rf $(VENV) demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis
