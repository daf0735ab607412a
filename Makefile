# The two commands of the README: `make run` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# setuptools warns of every project that is installed to be edited.
PIP    := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# By itself, before the rest: pip keeps every archive until all are unpacked, and those of PyTorch take 2 GB.
TORCH  := torch torchvision

.PHONY: run models train test lint bench clean
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp
	$(BIN)/python -m bot run

# What PyTorch runs: full-size presets, models of the Hugging Face hub, coco-objects.
models: $(VENV)/models.stamp

# `python -m train_scripts`
train: $(VENV)/train.stamp

test: $(VENV)/dev.stamp
	@./system-packages.sh chromium fonts-dejavu-core
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -n 2
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(BIN)/python -m tests.benchmarks

# A pip of the last years: the one that comes with Python 3.11 takes twice as long to choose its files.
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

# pip would compile every module of every package, one after the other: a fourth of them is imported. Those of the
# bot are compiled here, the others when somebody imports them first.
$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the packages of the bot (once; 600 MB of disk)..."
	@$(PIP) --no-compile -e .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import bot.__main__ as bot, inference.captioners.captioner; bot.import_app()"
	@touch $@

$(VENV)/models.stamp $(VENV)/train.stamp $(VENV)/dev.stamp: $(VENV)/%.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the packages of the bot and the extra '$*' (once; PyTorch is large: 8 GB of disk, 7 of which stay)..."
	@$(PIP) --no-compile $(TORCH)
	@$(PIP) --no-compile -e '.[$*]'
	@touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
