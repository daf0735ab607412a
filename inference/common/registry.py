"""Parts by name, whose modules are imported when one is asked for: torchvision takes seconds to import."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

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
        """``make(**settings)``. Raises ValueError when a setting is unknown, missing, or of another kind."""
        self._check(name, inspect.signature(make, eval_str=True).parameters, settings)
        try:
            return make(**settings)
        except TypeError as error:
            raise ValueError(f"The settings of {self.what} {name!r} do not fit: {error}.") from error

    def _check(self, name: Any, known: Mapping[str, inspect.Parameter], settings: Mapping[str, Any]) -> None:
        if any(one.kind is one.VAR_KEYWORD for one in known.values()):
            return  # it passes them on to what does tell
        for key, value in settings.items():
            if key not in known:
                raise ValueError(f"The {self.what} {name!r} has no setting {key!r}: {hint(key, known)}")
            wanted = _wanted(known[key].annotation, value)
            if wanted is not None:
                raise ValueError(f"The setting {key!r} of the {self.what} {name!r} is {value!r}: {wanted}.")


def hint(wrong: str, known: Collection[str]) -> str:
    """The end of a sentence about a key that there is not: the one that was meant, or else all there are."""
    near = difflib.get_close_matches(wrong, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."


def _wanted(kind: Any, value: Any) -> str | None:
    """What to write instead of the value; None where it fits, or the kind is none that can be told apart."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return None if value in choices else f"choose one of {', '.join(map(str, choices))}"
    if kind is bool:
        return None if isinstance(value, bool) else "write true or false"
    if kind is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "write a whole number"
    if kind is float:
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "write a number"
    return None
