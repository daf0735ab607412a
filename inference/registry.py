"""Parts by name, whose modules are imported when one is asked for: torchvision takes seconds to import."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Part = TypeVar("Part")
Same = TypeVar("Same")


class Registry(Generic[Part]):
    """``what``: what its parts are called in messages. ``modules`` register their parts when imported."""

    def __init__(self, what: str, modules: Sequence[str]) -> None:
        self.what = what
        self._modules = modules
        self._parts: dict[str, Part] = {}

    def add(self, name: str, part: Part) -> None:
        """Raises ValueError when the name is taken."""
        if name in self._parts:
            raise ValueError(f"Two {self.what}s want the name {name!r}: rename one of them.")
        self._parts[name] = part

    def names(self) -> list[str]:
        """Of all parts there are."""
        for module in self._modules:
            importlib.import_module(module)
        return sorted(self._parts)

    def find(self, name: Any) -> Part:
        """Raises ValueError, with the names there are, when there is no such part."""
        if name not in self._parts and name not in self.names():
            raise ValueError(f"Unknown {self.what} {name!r}: choose one of {', '.join(self.names())}.")
        return self._parts[name]

    def made(self, name: Any, make: Callable[..., Same], settings: dict[str, Any]) -> Same:
        """``make(**settings)``. Raises ValueError when a setting is unknown or missing."""
        try:
            return make(**settings)
        except TypeError as error:
            raise ValueError(f"The settings of {self.what} {name!r} do not fit: {error}.") from error
