"""The benchmark runs, and measures what it says. No number is asserted: they are for people to read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.measure import ROOT, quantile
from tests.inference.fakes import write_checkpoint

COMMAND = [sys.executable, "-m", "tests.benchmarks"]


def test_one_command_prints_every_table(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "models", "fake")
    environment = {**os.environ, "COLUMNS": "100", "CAPTIONER": "tests.inference.fakes:load"}
    arguments = ["--model", "fake", "--models-dir", str(tmp_path / "models"), "--count", "3"]
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for heading in (
        f"fake ({checkpoint[:12]})",
        "Seconds per picture, 2 pictures one at a time",
        "Start to first answer",
        "Resident memory, MB",
        "The bot, 2 photos one at a time",
    ):
        assert heading in done.stdout
    table = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    assert {"decode", "read", "encode", "generate", "total", "worker", "both"} <= table.keys()
    bot, worker = (float(table[name].split("│")[2]) for name in ("bot", "worker"))
    assert bot > 20 and worker > 20, "megabytes of two live Python processes"


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--models-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "put a checkpoint there first" in done.stderr


def test_quantiles_are_linear_between_neighbours() -> None:
    assert quantile([5.0], 0.95) == 5.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([float(value) for value in range(101)], 0.95) == pytest.approx(95.0)
