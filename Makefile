# The two commands of the README: `make run` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# By itself, before the rest: pip keeps every archive until all are unpacked, and those of PyTorch take 2 GB.
TORCH  := torch torchvision

.PHONY: run test lint bench clean
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp
	$(BIN)/python -m bot run

test: $(VENV)/test.stamp
	@./system-packages.sh chromium fonts-dejavu-core
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/test.stamp
	$(BIN)/python -m tests.benchmarks

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of the bot (once; PyTorch is large: 8 GB of disk, 7 of which stay)..."
	@$(PIP) $(TORCH)
	@$(PIP) -e .
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of the bot and of its tests (once; PyTorch is large: 8 GB of disk, 7 of which stay)..."
	@$(PIP) $(TORCH)
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
