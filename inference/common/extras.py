"""What is installed beside the packages that serving needs, and the sentence where it is not.

``make run`` installs the project alone. What PyTorch runs comes with an extra of pyproject.toml: whoever
imports such a module on demand calls :func:`require` first.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Final, Literal

from inference.common.interpreter import PYTHON
from inference.common.types import EngineError

__all__ = ["MODULES", "WRITE_GRAPHS", "Extra", "NotInstalled", "require"]

Extra = Literal["models", "train", "postgres", "sentry", "serve"]

_PYTORCH = ("torch", "torchvision", "transformers", "timm")
# Of the extra `models`, what graphs are written with: an installation of before has PyTorch without it, and
# need not be made anew to serve.
WRITE_GRAPHS: Final = ("onnx", "onnxscript")

# Modules by which an extra is known to be installed: what this project imports of it.
MODULES: Final[dict[Extra, tuple[str, ...]]] = {
    "models": _PYTORCH,
    "train": (*_PYTORCH, *WRITE_GRAPHS, "accelerate", "tensorboard", "nltk", "imagehash", "psutil"),
    "postgres": ("asyncpg",),
    "sentry": ("sentry_sdk",),
    "serve": ("ray", "starlette"),
}
_MADE = ("models", "train")  # by `make`, which knows more than pip of how PyTorch is best installed
_MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"


class NotInstalled(EngineError):  # noqa: N818 - a state, said the way the callers say it
    """Packages are missing: ``str()`` is one sentence with the command that installs them."""


def require(extra: Extra, what: str, *besides: str) -> None:
    """Raises NotInstalled where packages of the extra are missing. ``what``: who needs them, one thing;
    ``besides``: modules of the extra that few need.

    Nothing is imported: it costs milliseconds.
    """
    missing = [module for module in (*MODULES[extra], *besides) if importlib.util.find_spec(module) is None]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotInstalled(
            f"{what} needs packages that are not installed ({missing[0]}{others}): "
            f'install them with "{_command(extra)}".'
        )


def _command(extra: Extra) -> str:
    if extra in _MADE and _MAKEFILE.is_file() and shutil.which("make"):
        return f"make {extra}"
    return f"{PYTHON} -m pip install -c constraints.txt -e '.[{extra}]'"
