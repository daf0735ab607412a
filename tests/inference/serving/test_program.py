"""What tells captions of before an update from those after it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import inference
from inference.checkpoints.manifest import sha256_of_folder
from inference.serving.program import FILES, program


def digest_of(package: Path) -> str:
    return sha256_of_folder(package, FILES)[:16]


def test_every_change_of_code_or_data_is_another_program(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "reading").mkdir(parents=True)
    code, data = package / "reading" / "layout.py", package / "reading" / "words.json"
    code.write_text("GAP = 1\n")
    data.write_text("[]")
    seen = {digest_of(package)}
    code.write_text("GAP = 2\n")
    seen.add(digest_of(package))
    data.write_text("[1]")
    seen.add(digest_of(package))
    code.rename(package / "layout.py")
    seen.add(digest_of(package))
    assert len(seen) == 4
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "layout.cpython-311.pyc").write_bytes(b"compiled")
    assert digest_of(package) in seen
    moved = shutil.copytree(package, tmp_path / "elsewhere")
    assert digest_of(moved) == digest_of(package)


def test_two_processes_of_one_installation_are_one_program() -> None:
    code = "from inference.serving.program import program; print(program())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == program() == digest_of(Path(inference.__file__).parent)
