"""What is set for a process that trains comes before its first tensor, or torch does not heed it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Imports count: a module that makes a tensor comes too early as well. PyTorch itself is imported once.
PROGRAM = """
import json
import os
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "aten":
            sys.exit(f"{func} came first")
        return func(*args, **(kwargs or {}))


def reached():
    sys.exit("set up")


for words in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    with Watch():
        import train_scripts.process

        train_scripts.process.set_up_process = reached
        from train_scripts.__main__ import app

        app(words)
"""
COMMANDS = (
    ("train", "--config", "resnet50-lstm"),
    ("meme-small", ".", "--photos", "README.md", "--readings", "README.md"),
    ("finetune", "--feedback", "a", "--model", "meme-small", "--data", "b", "--out", "c"),
)


def test_the_process_is_set_up_before_the_first_tensor() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines() == ["set up"] * len(COMMANDS), done.stderr
