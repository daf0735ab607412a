"""Which model describes whose pictures: the operator's, the one on trial, or the person's own choice."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable

from bot.config import OperatorError, Settings
from bot.feedback.tables import Choice, User
from inference.checkpoints.names import ModelName
from inference.common.types import EngineError, Language, NotAllowed, UnknownModel
from inference.serving.engine import Engine
from inference.serving.remote import RemoteEngine

logger = logging.getLogger(__name__)

AnyEngine = Engine | RemoteEngine  # in a process beside the bot, or on another machine

MOST_OTHERS = 2  # models that one may be compared with: three captions are as many as fit beside each other


def operators(settings: Settings, telegram_id: int) -> str:
    """The model of people who chose none: MODEL, or AB_MODEL for a share of them.

    A person stays with one of the two for as long as AB_SALT stays as it is; a larger AB_SHARE only moves
    people to AB_MODEL, a smaller one only back.
    """
    if settings.ab_model is None:
        return settings.model
    digest = hashlib.sha256(f"{settings.ab_salt}:{telegram_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64  # evenly spread over [0, 1)
    return settings.ab_model if place < settings.ab_share else settings.model


def first_model(settings: Settings, user: User) -> str:
    """The model that describes this person's pictures, or the first of several."""
    return user.model or operators(settings, user.telegram_id)


def other_models(settings: Settings, user: User) -> tuple[str, ...]:
    """The models to compare with: the person's, else the operator's; (): nobody named another one."""
    first = first_model(settings, user)
    if own := tuple(name for name in user.compare_with or () if name != first):
        return own
    named = (settings.compare_with, settings.model)
    return next(((name,) for name in named if name and name != first), ())


def choices(settings: Settings, user: User, *, others: tuple[str, ...] = ()) -> tuple[Choice, ...]:
    """Who is to describe this person's picture; ``others``: this once these models too."""
    if not others and user.compare_with is not None:
        others = other_models(settings, user)
    every = (first_model(settings, user), *others)
    if len(every) == 1:
        return (Choice(every[0]),)
    return tuple(
        Choice(name, part, tuple(other for other in every if other != name))
        for part, name in enumerate(every, start=1)
    )


def knows(name: str, language: Language) -> bool:
    """Whether the model of this name can describe in that language; else it does so in Russian."""
    return language in ModelName.parse(name).model.languages


def key(name: str) -> str:
    """A model's name in callback_data, which holds 64 bytes: 12 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def by_key(names: Iterable[str], wanted: str) -> str | None:
    """The name with this key; None: it is not among them (any more)."""
    return next((name for name in names if key(name) == wanted), None)


async def check_models(settings: Settings, engine: AnyEngine) -> None:
    """Ask the engine for every model that a setting names: a slip must not wait for the first picture.

    Raises OperatorError; a service that is not up yet is only logged.
    """
    asked = {"MODEL": settings.model, "AB_MODEL": settings.ab_model, "COMPARE_WITH": settings.compare_with}
    named = {setting: name for setting, name in asked.items() if name is not None}
    for setting, name in named.items():
        try:
            ModelName.parse(name)
        except UnknownModel as error:
            raise OperatorError(f"{setting}: {error}") from error
    for setting, name in named.items():
        try:
            await asyncio.to_thread(engine.checkpoint, name)
        except UnknownModel as error:
            raise OperatorError(f"{setting}: {error}") from error
        except NotAllowed as error:
            raise OperatorError(f"ENGINE_URL: {error}") from error
        except EngineError as error:  # a service that is not up yet
            logger.warning("%s", error)
            return
