"""What a process hands back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
from inference.common.memory import give_back, kept

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

pieces = [bytearray(50_000) for _ in range(4_000)]
end = bytearray(50_000)  # what lies at the end of the heap keeps all before it
del pieces
before, free = resident(), kept()
give_back()
print(before - resident(), free)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone keeps what is freed")
def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    returned, free = map(int, done.stdout.split())
    assert returned > 100_000_000
    assert free > 100_000_000
