"""What a fresh clone installs, and for how long: ``make run`` up to where it would start the bot."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from tests.benchmarks.figures import Row
from tests.benchmarks.measure import MEGABYTE


def install_rows(checkouts: Mapping[str, Path]) -> list[Row]:
    """Of two checkouts, before and now: what was committed there, cloned and installed once each."""
    seconds, size = [], []
    for checkout in tqdm(checkouts.values(), desc="installing", mininterval=5):
        with TemporaryDirectory() as folder:
            subprocess.run(["git", "clone", "--quiet", checkout, folder], check=True)
            started = time.perf_counter()
            subprocess.run(["make", "--silent", "-C", folder, ".venv/run.stamp"], check=True)
            seconds.append(time.perf_counter() - started)
            size.append(_bytes_under(Path(folder) / ".venv") / MEGABYTE)
    return [Row("a fresh clone, installing", "s", *seconds), Row("a fresh clone, installed", "MB", *size)]


def _bytes_under(folder: Path) -> int:
    """Of the disk, with what blocks leave empty."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
