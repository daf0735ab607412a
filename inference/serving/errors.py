"""What went wrong, as it is told from one process to another: a word and a sentence."""

from __future__ import annotations

from typing import Final

from inference.common.types import (
    CannotTalk,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    NotAllowed,
    PictureTimeout,
    UnknownModel,
    WorkerCrashed,
)

__all__ = ["KINDS", "kind_of"]

KINDS: Final[dict[str, type[EngineError]]] = {
    "busy": EngineBusy,
    "timeout": PictureTimeout,
    "crashed": WorkerCrashed,
    "unknown_model": UnknownModel,
    "not_loaded": ModelNotLoaded,
    "cannot_talk": CannotTalk,
    "key": NotAllowed,
    "refused": NotAllowed,
    "failed": EngineError,
}


def kind_of(error: EngineError) -> str:
    """The word for an error; "failed" for those that have none of their own."""
    return next((name for name, kind in KINDS.items() if type(error) is kind), "failed")
