"""Which model describes whose pictures: the operator's, the one on trial, or the person's own choice."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from bot.config import OperatorError, Settings
from bot.feedback.tables import CaptionRow, Choice, User
from inference.checkpoints.models import ModelInfo
from inference.checkpoints.names import ModelName
from inference.common.types import EngineError, Language, NotAllowed, UnknownModel
from inference.serving.access import is_loopback
from inference.serving.engine import Engine
from inference.serving.remote import RemoteEngine

logger = logging.getLogger(__name__)

AnyEngine = Engine | RemoteEngine  # in a process beside the bot, or on another machine

_KEPT = 10.0  # seconds that what was said of the models is believed
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


def is_elsewhere(name: str) -> bool:
    """Whether another server runs this model, which may take its time."""
    try:
        return ModelName.parse(name).model.elsewhere
    except UnknownModel:  # of a job of long ago, which is told so in its turn
        return False


def key(name: str) -> str:
    """A model's name in callback_data, which holds 64 bytes: 12 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def by_key(names: Iterable[str], wanted: str) -> str | None:
    """The name with this key; None: it is not among them (any more)."""
    return next((name for name in names if key(name) == wanted), None)


class Catalogue:
    """What is said of the models there are, also of those that only a setting names."""

    def __init__(self, engine: AnyEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._found: dict[str, ModelInfo] = {}
        self._hosts: dict[str, str] = {}
        self._until = 0.0  # the loop's time at which it is looked up again

    async def models(self) -> Mapping[str, ModelInfo]:
        """All of them by name, as they are now. Raises EngineError."""
        names = named(self._settings).values()
        spelt = {str(ModelName.parse(name)): name for name in names}  # as jobs have them
        found = await asyncio.to_thread(self._engine.models, names)
        self._found = {spelt.get(model.name, model.name): model for model in found}
        self._until = asyncio.get_running_loop().time() + _KEPT
        return self._found

    async def known(self) -> Mapping[str, ModelInfo]:
        """The same, as they were some seconds ago; while nobody can say, as when it was known last."""
        if asyncio.get_running_loop().time() >= self._until:
            try:
                return await self.models()
            except EngineError as error:
                logger.info("The models are not known just now: %s", error)
        return self._found

    async def talks(self, name: str) -> bool:
        """Whether this model answers questions about a picture."""
        known = await self.known()
        return name in known and known[name].talks

    async def only_russian(self, names: Iterable[str], language: Language) -> list[str]:
        """Those of these models that describe in Russian where that language is asked for."""
        known = await self.known()
        return [name for name in names if name in known and language not in known[name].languages]

    async def only_russian_of(self, user: User) -> list[str]:
        """Those of the models that describe this person's pictures which do not know the language."""
        used = (choice.model for choice in choices(self._settings, user))
        return await self.only_russian(used, user.told_in)

    async def talkers(self) -> list[str]:
        """The models that do."""
        return [name for name, model in (await self.known()).items() if model.talks]

    async def talker_for(self, user: User, row: CaptionRow) -> str | None:
        """Who answers this person about that description: its own model, else the one that the person's
        pictures are described by; None: neither talks.
        """
        for name in (row.model, first_model(self._settings, user)):
            if await self.talks(name):
                return name
        return None

    async def hosts(self, user: User) -> list[str]:
        """The other machines that this person's pictures may go to: HOST or HOST:PORT."""
        # The usual model describes in the place of one that is gone.
        used = [*(choice.model for choice in choices(self._settings, user)), self._settings.model]
        found = [elsewhere(self._settings), *(await self.hosts_of(used)).values()]
        return [*dict.fromkeys(host for host in found if host is not None)]

    async def hosts_of(self, names: Iterable[str]) -> dict[str, str]:
        """The other machines to which pictures for these models go, by the model.

        That of a server that does not answer is among them: pictures go there as soon as it does. While the
        service that would know is away, they are those that it told last.
        """
        asked = [*names]
        try:
            found = await asyncio.to_thread(self._engine.hosts, asked)
        except EngineError as error:
            logger.info("Where pictures go is not known just now: %s", error)
        else:
            self._hosts = {name: host for name, host in self._hosts.items() if name not in asked} | found
        return {name: self._hosts[name] for name in asked if name in self._hosts}


def named(settings: Settings) -> dict[str, str]:
    """The models that settings name, by the setting."""
    asked = {"MODEL": settings.model, "AB_MODEL": settings.ab_model, "COMPARE_WITH": settings.compare_with}
    return {setting: name for setting, name in asked.items() if name is not None}


def elsewhere(settings: Settings) -> str | None:
    """The other machine that runs all models, as HOST or HOST:PORT; None: this one does."""
    parts = urlsplit(settings.engine_url or "")
    host = parts.netloc.rpartition("@")[2]
    return host if parts.hostname and not is_loopback(parts.hostname) else None


async def check_models(settings: Settings, engine: AnyEngine) -> None:
    """Ask the engine for every model that a setting names: a slip must not wait for the first picture.

    Raises OperatorError; a service that is not up yet is only logged.
    """
    used = named(settings)
    if (there := elsewhere(settings)) is not None:
        logger.warning("All pictures go to %s (ENGINE_URL).", there)
    for setting, name in used.items():
        try:
            ModelName.parse(name)
        except UnknownModel as error:
            raise OperatorError(f"{setting}: {error}") from error
    for setting, name in used.items():
        try:
            for host in (await asyncio.to_thread(engine.hosts, [name])).values():
                logger.warning("Pictures that the model %s describes go to %s.", name, host)
            await asyncio.to_thread(engine.checkpoint, name)
        except UnknownModel as error:
            raise OperatorError(f"{setting}: {error}") from error
        except NotAllowed as error:
            raise OperatorError(f"ENGINE_URL: {error}") from error
        except EngineError as error:  # a service, or a server behind it, that is not up yet
            logger.warning("%s", error)
