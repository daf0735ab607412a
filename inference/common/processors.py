"""How many processors the worker may use, and how its threads wait for each other."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["available", "be_patient", "patient"]

_MOUNT = Path("sys/fs/cgroup")
_OWN = Path("proc/self/cgroup")


def available(root: Path = Path("/")) -> int:
    """Processors that this process may use, at least 1: those it is bound to, no more than the quota of its
    control groups (a container's ``--cpus``), rounded up, and no more than ``OMP_NUM_THREADS`` says, where it
    is set. ``root``: where /proc and /sys lie.

    More threads than that only wait for each other: the system takes the processor from all of them in turn.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    most = [int(told)] if told.isdecimal() and int(told) else []
    return max(1, min([bound, *most, *(math.ceil(quota) for quota in _quotas(root))]))


# How long threads of OpenMP wait awake: of GNU's, which PyTorch's wheels bring (rounds), and of Intel's and
# LLVM's (ms). By default a hundred times as long, and beside other work each spins away the very time that
# the thread it waits for needs. To sleep at once costs more than it saves where processors are idle, which
# take long to wake.
_OPENMP = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}


def patient(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process whose threads soon sleep while they wait; what is set there stays.

    numpy's OpenBLAS makes threads that spin when it is loaded: what needs none does not have them made, see
    :mod:`inference.common.blas`.
    """
    return {**_OPENMP, "OPENBLAS_NUM_THREADS": "1", **environment}


def be_patient() -> None:
    """The same for OpenMP in this process: it reads that when PyTorch is loaded, so call it before."""
    for name, value in _OPENMP.items():
        os.environ.setdefault(name, value)


def _quotas(root: Path) -> Iterator[float]:
    """Processors by each limit that holds for this process: of its own groups and of all above them."""
    for line in _text(root / _OWN).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        group = Path(path.lstrip("/"))
        if not controllers:  # version 2: "max 100000" or "150000 100000", microseconds of time and of period
            mount, files = root / _MOUNT, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            mount, files = root / _MOUNT / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # A container sees its own group as the top: what lies above it is not there to be read.
        for folder in (group, *group.parents):
            limit = " ".join(_text(mount / folder / file) for file in files).split()
            with contextlib.suppress(ValueError):  # "max", or nothing
                time, period = map(int, limit)
                if time > 0 and period > 0:  # version 1 says -1 where there is no limit
                    yield time / period


def _text(path: Path) -> str:
    """What the file says; "" where it is not there or not to be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")  # as names of files are
    except OSError:
        return ""
