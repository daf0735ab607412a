"""How many processors the worker may use, from control groups as Linux writes them, and how threads wait."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.common.processors import available, patient

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, ALL, id="no control groups"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, ALL, id="no limit"
        ),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1, id="one"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1, id="a fifth"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/bot.slice/bot.service\n",
                "sys/fs/cgroup/bot.slice/bot.service/cpu.max": "max 100000\n",
                "sys/fs/cgroup/bot.slice/cpu.max": "90000 100000\n",
            },
            1,
            id="of a group above",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/box\n3:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            },
            1,
            id="version 1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/боты/мемы\n",
                "sys/fs/cgroup/боты/мемы/cpu.max": "100000 100000\n",
            },
            1,
            id="a name in Russian",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"},
            1,
            id="seen from beside",
        ),
        pytest.param(
            {"proc/self/cgroup": "\nwhatever\n", "sys/fs/cgroup/cpu.max": "100000\n"},
            ALL,
            id="of another kind",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            ALL,
            id="version 1 without a limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{10 * ALL}00000 100000\n"},
            ALL,
            id="more than there are",
        ),
    ],
)
def test_the_quota_of_the_control_groups_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available(write(tmp_path, files)) == expected


@pytest.mark.parametrize(("told", "expected"), [("1", 1), ("999", ALL), ("", ALL), ("0", ALL), ("2,1", ALL)])
def test_what_openmp_is_told_holds_for_all_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert available(tmp_path) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds processes this way")
def test_a_process_bound_to_one_processor_uses_one() -> None:
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.environ.pop('OMP_NUM_THREADS', None); os.sched_setaffinity(0, {{{one}}})\n"
        "from inference.common.processors import available; print(available())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_threads_wait_a_moment_and_sleep_unless_the_operator_says_otherwise() -> None:
    told = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert patient({"HOME": "/"}) == {"HOME": "/", **told}
    assert patient({"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"
