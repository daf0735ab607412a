"""The search needs numpy and nothing heavier: it is what the slim installation decodes with."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_search_imports_no_torch() -> None:
    code = (
        "import sys, inference.decoding.search\n"
        "print(*({'torch', 'transformers', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
