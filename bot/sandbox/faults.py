"""Troubles on order: what makes the next calls of a method fail, wait, or lose their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from bot.sandbox.api import ApiError

FaultKind = Literal[
    "flood",
    "server_error",
    "bad_gateway",
    "forbidden",
    "not_found",
    "conflict",
    "reset",
    "reset_after",
    "bad_request",
]
_REFUSALS: dict[FaultKind, tuple[int, str]] = {
    "server_error": (500, "Internal Server Error"),
    "forbidden": (403, "Forbidden: bot was blocked by the user"),
    "not_found": (404, "Not Found"),
    "conflict": (409, "Conflict: made to fail"),
}
DOWNLOAD = "download"  # the name under which fetching a file is logged and made to fail


@dataclass(slots=True)
class Fault:
    """The next `times` calls of `method` fail.

    `flood`: 429 with `retry_after` (s); `server_error`: 500; `bad_gateway`: a proxy's page
    of HTML instead of JSON, with 502; `forbidden`: 403; `not_found`: 404; `conflict`: 409;
    `bad_request`: 400 with `description`; `reset`: the connection breaks before anything is done;
    `reset_after`: the call is carried out, then the connection breaks, so that the caller cannot know.
    """

    method: str
    kind: FaultKind
    times: int = 1
    retry_after: int = 1
    description: str = "Bad Request: made to fail"
    only: str = ""  # calls with this in one of their parameters; "": all

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"no such fault as {self.kind!r}; there are: {', '.join(get_args(FaultKind))}")

    def error(self) -> ApiError | None:
        """The refusal that the server sends, or None for a broken connection."""
        if self.kind == "flood":
            wait = self.retry_after
            return ApiError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        if self.kind == "bad_request":
            return ApiError(400, self.description)
        refusal = _REFUSALS.get(self.kind)
        return ApiError(*refusal) if refusal else None


@dataclass(slots=True)
class Gate:
    """Calls of `method` wait here until `release`; `arrived` counts them, so a test can act in between."""

    method: str
    arrived: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let the waiting calls and all later ones through."""
        self.opened.set()


@dataclass(slots=True)
class Call:
    """One call received; `status` is None until it was answered, 0 for a broken connection."""

    method: str
    params: dict[str, Any]
    at: float  # seconds, the event loop's clock
    status: int | None = None
    description: str = ""


class Faults:
    """The faults and gates in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.gates: list[Gate] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        """No more faults, and every gate open."""
        self._faults.clear()
        for gate in self.gates:
            gate.release()
        self.gates.clear()

    def take(self, method: str, values: Mapping[str, Any]) -> Fault | None:
        """The fault that meets this call, used up by one."""
        for fault in self._faults:
            meant = not fault.only or any(fault.only in str(value) for value in values.values())
            if meant and fault.method.lower() in (method.lower(), "*"):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def gate(self, method: str) -> Gate | None:
        """The closed gate before this method, if there is one."""
        return next(
            (
                gate
                for gate in self.gates
                if gate.method.lower() == method.lower() and not gate.opened.is_set()
            ),
            None,
        )
