# make setup | demo | test | test-all | check      (PYTHON=python3.12 chooses another Python, JOBS=1 one test process)
PYTHON ?= python3
JOBS ?= 2
PYTEST_ARGS ?=
BIN := .venv/bin
READY := .venv/.tenfold-ready
# Each test process works on one thread: the cores are shared by processes.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

.PHONY: setup demo test test-all check
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tenfold needs Python 3.11 or newer: make PYTHON=python3.11")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup
	$(BIN)/tenfold demo

test: setup
	$(PYTEST) -m "not slow and not large and not gpu" $(PYTEST_ARGS)

test-all: setup
	$(PYTEST) $(PYTEST_ARGS)

check: setup
	scripts/check
