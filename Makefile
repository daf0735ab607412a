# The two commands of the README: `make run` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test lint bench clean
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp
	@./system-packages.sh tesseract-ocr tesseract-ocr-rus tesseract-ocr-eng
	$(BIN)/python -m bot run

test: $(VENV)/test.stamp
	@./system-packages.sh tesseract-ocr tesseract-ocr-rus tesseract-ocr-eng chromium fonts-dejavu-core
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/test.stamp
	$(BIN)/python -m tests.benchmarks

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of the bot (once; PyTorch is large)..."
	@$(PIP) -e .
	@$(PIP) -e '.[reading]' || echo "tesserocr could not be installed: the bot goes on without reading the words."
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of the bot and of its tests (once; PyTorch is large)..."
	@$(PIP) -e '.[reading,dev]'
	@touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
