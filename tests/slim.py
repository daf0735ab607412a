"""An installation as `make run` makes it, feigned where everything is installed: what the core does not bring
cannot be imported.
"""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_ANYWAY = {canonicalize_name(name) for name in (PROJECT["name"], "pip", "setuptools")}


def core_packages() -> set[str]:
    """The names of what the project asks for, of what that asks for, and so on."""
    found: set[str] = set()
    todo = [Requirement(text) for text in PROJECT["dependencies"]]
    asked: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) not in asked:
            asked.add((name, extras))
            found.add(name)
            todo += _asked_for(name, extras)
    return found


def _asked_for(name: str, extras: frozenset[str]) -> list[Requirement]:
    requirements = [Requirement(text) for text in metadata.requires(name) or ()]
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def hidden_modules() -> set[str]:
    """What is installed here and would not be there, by the names that are imported."""
    core = core_packages() | _ANYWAY
    return {
        module
        for module, packages in metadata.packages_distributions().items()
        if not core & {canonicalize_name(package) for package in packages}
    }


def hide(folder: Path) -> Path:
    """A folder for PYTHONPATH: in every Python process that has it there, these imports fail."""
    modules = sorted(hidden_modules())
    code = f"import sys\n\nsys.modules.update(dict.fromkeys({modules!r}))\n"
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return folder
