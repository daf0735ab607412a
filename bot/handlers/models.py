"""/model and /compare: which model describes a person's pictures, and whether others do too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aiogram import Router
from aiogram.filters import CommandObject, Filter
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from bot.captioning.models import (
    MOST_OTHERS,
    AnyEngine,
    Catalogue,
    by_key,
    choices,
    first_model,
    named,
    other_models,
)
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.database import NotStored
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import AnyCommand, Pressed, TextCommand, answer, once_saved, reply, turn_page
from bot.handlers.pages import (
    Offer,
    compare_keyboard,
    compare_page,
    compare_state,
    description,
    missing_keyboard,
    missing_page,
    model_keyboard,
    model_page,
    model_state,
)
from bot.handlers.picture import describe
from bot.messages.buttons import DROP, MISSING, NONE, TURN, Button, ButtonKind
from bot.messages.lengths import shortened
from bot.messages.targets import Target, find_target
from bot.texts import Texts, sentences, texts
from inference.checkpoints.models import MissingModel
from inference.checkpoints.names import ModelName

_Told = Callable[[Offer, Texts], str]
_Offered = Callable[[Offer, Texts], InlineKeyboardMarkup]
# By the kind of the buttons under it: what is chosen, the whole page, and those buttons.
_PAGES: dict[ButtonKind, tuple[_Told, _Told, _Offered]] = {
    "model": (model_state, model_page, model_keyboard),
    "compare": (compare_state, compare_page, compare_keyboard),
}
_NAME = 128  # UTF-16 units that are repeated of a model's name that is none


class ModelOffer:
    """What may be chosen, and what is."""

    def __init__(self, engine: AnyEngine, catalogue: Catalogue, store: Store, settings: Settings) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._store = store
        self._settings = settings

    async def to(self, user: User) -> Offer:
        """What stands on this person's pages."""
        found = await self._catalogue.models()
        descriptions = {name: description(model, texts(user.language)) for name, model in found.items()}
        for name in named(self._settings).values():
            # One with a translation behind its name has no card of its own; nor need it be there just now.
            own = descriptions.get(name) or descriptions.get(ModelName.parse(name).model.name, "")
            descriptions[name] = own
        return Offer(
            user_id=user.id,
            descriptions=descriptions,
            hosts=await self._catalogue.hosts_of(descriptions),
            only_russian=await self._catalogue.only_russian(descriptions, user.told_in),
            **self._chosen(user),
        )

    async def missing(self) -> Sequence[MissingModel]:
        """What is known and not there."""
        return await asyncio.to_thread(self._engine.missing)

    async def to_operator(self, offer: Offer, chat_id: int) -> Offer:
        """The same, and what is missing where an operator asks privately: nobody else can do anything about
        it.
        """
        if chat_id not in self._settings.admin_ids:
            return offer
        return replace(offer, missing=await self.missing())

    def _chosen(self, user: User) -> dict[str, Any]:
        compares = user.compare_with is not None
        return {
            "first": first_model(self._settings, user),
            "others": other_models(self._settings, user) if compares else (),
            "own": user.model is not None,
        }

    async def again(self, user: User, before: Offer) -> Offer:
        """The same after a choice was saved. Raises NotStored.

        The models are those of ``before``: a service that goes away just then changes nothing.
        """
        fresh = await self._store.people.find(user.telegram_id)
        if fresh is None:
            raise NotStored("This person was erased.")
        return replace(before, **self._chosen(fresh))

    def partners(self, user: User, offer: Offer) -> tuple[str, ...] | None:
        """The models to compare with when the person names none: () for the operator's, None: unclear."""
        if other_models(self._settings, user):
            return ()
        others = tuple(name for name in offer.descriptions if name != offer.first)
        return others if 1 <= len(others) <= MOST_OTHERS else None


class AnswersPicture(Filter):
    """The message answers a picture, or has one itself, and is no part of an album."""

    async def __call__(self, message: Message) -> bool:
        return message.media_group_id is None and isinstance(find_target(message), Target)


def router() -> Router:
    """A new router."""
    made = Router(name="models")
    made.message.register(model, TextCommand("model"))
    made.message.register(compare_one, AnyCommand("compare"), AnswersPicture())
    made.message.register(compare, TextCommand("compare"))
    made.callback_query.register(choose, Pressed("model", "compare"))
    return made


def _named(offer: Offer, text: str) -> str | None:
    """The model that the person wrote the name of, in whatever case."""
    wanted = text.strip().casefold()
    return next((name for name in offer.descriptions if name.casefold() == wanted), None)


async def _others(
    command: CommandObject,
    offer: Offer,
    offers: ModelOffer,
    words: Texts,
    *,
    unnamed: tuple[str, ...] | None,
) -> tuple[str, ...] | str | None:
    """The models to compare with that the person wrote the names of, or the sentence why that cannot be;
    ``unnamed`` where no name was written.
    """
    if not (text := command.args):
        return unnamed
    whole = _named(offer, text)  # a folder's name may have spaces in it
    written = [text] if whole is not None else text.replace(",", " ").split()
    found = {name: _named(offer, name) for name in written}
    if (unknown := next((name for name, model in found.items() if model is None), None)) is not None:
        return await _unknown(unknown, offers, words)
    named = tuple(dict.fromkeys(model for model in found.values() if model not in (None, offer.first)))
    return named if len(named) <= MOST_OTHERS else words(sentences.COMPARE_FULL)


async def _unknown(name: str, offers: ModelOffer, words: Texts) -> str:
    known = {one.name.casefold(): one for one in await offers.missing()}
    if (one := known.get(name.strip().casefold())) is not None:
        return words(sentences.MODEL_MISSING, model=one.name, command=one.command)
    # Whatever was written after the command: all of it might not fit into a message.
    return words(sentences.MODEL_UNKNOWN, model=shortened(name, _NAME))


async def model(
    message: Message, *, command: CommandObject, user: User, words: Texts, store: Store, offers: ModelOffer
) -> None:
    """Say which model describes, and offer the others; with a name: take it at once."""
    offer = await offers.to_operator(await offers.to(user), message.chat.id)
    if command.args:
        name = _named(offer, command.args)
        if name is None:
            await reply(message, await _unknown(command.args, offers, words))
            return
        await store.people.choose_model(user.id, name)
        with once_saved():
            offer = await offers.again(user, offer)
            await reply(message, model_page(offer, words), model_keyboard(offer, words))
        return
    await reply(message, model_page(offer, words), model_keyboard(offer, words))


async def compare(
    message: Message, *, command: CommandObject, user: User, words: Texts, store: Store, offers: ModelOffer
) -> None:
    """Give several descriptions from now on, with the named models or the operator's, and offer others."""
    offer = await offers.to(user)
    unnamed = offers.partners(user, offer) if user.compare_with is None else None
    others = await _others(command, offer, offers, words, unnamed=unnamed)
    if isinstance(others, str):
        await reply(message, others)
        return
    if others is not None:
        await store.people.compare_with(user.id, others)
        with once_saved():
            offer = await offers.again(user, offer)
            await reply(message, compare_page(offer, words), compare_keyboard(offer, words))
        return
    await reply(message, compare_page(offer, words), compare_keyboard(offer, words))


async def compare_one(
    message: Message,
    *,
    command: CommandObject,
    user: User,
    words: Texts,
    settings: Settings,
    offers: ModelOffer,
    **data: Any,
) -> None:
    """Several descriptions of the picture that the command answers, whatever the person chose otherwise."""
    offer = await offers.to(user)
    unnamed = other_models(settings, user) or offers.partners(user, offer)
    others = await _others(command, offer, offers, words, unnamed=unnamed)
    if isinstance(others, str):
        await reply(message, others)
        return
    if not others:
        await reply(message, compare_page(offer, words), compare_keyboard(offer, words))
        return
    chosen = choices(settings, user, others=others)
    data |= {"user": user, "words": words, "settings": settings, "chosen": chosen}
    await describe(message, find_target(message), again=True, **data)


async def choose(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    nursery: Nursery,
    offers: ModelOffer,
) -> None:
    """Take the model whose button was pressed on either page, or only turn to that page."""
    choice = press.value
    offer = await offers.to(user)
    if press.kind == "model" and callback.message is not None:
        offer = await offers.to_operator(offer, callback.message.chat.id)
    if choice == MISSING:
        said = words(sentences.MISSING_TURN)
        page, keyboard = missing_page(offer, words), missing_keyboard(offer, words)
        await turn_page(callback, nursery, said=said, page=page, keyboard=keyboard)
        return
    if choice != TURN:
        if (refusal := await _save(press, offer, user, store)) is not None:
            await answer(callback, words(refusal), alert=True)
            return
        offer = await offers.again(user, offer)
    say, page_of, keyboard_of = _PAGES[press.kind]
    said, page, keyboard = say(offer, words), page_of(offer, words), keyboard_of(offer, words)
    await turn_page(callback, nursery, said=said, page=page, keyboard=keyboard)


async def _save(press: Button, offer: Offer, user: User, store: Store) -> str | None:
    """Write down the choice of a button; returns the sentence why that cannot be. Raises NotStored."""
    name = by_key(offer.descriptions, press.value.removeprefix(DROP))
    if name is None and press.value != NONE:
        return sentences.MODEL_NOT_LISTED
    if press.kind == "model":
        await store.people.choose_model(user.id, name)
        return None
    others = _changed(offer, name, dropped=press.value.startswith(DROP))
    if others is not None and len(others) > MOST_OTHERS:
        return sentences.COMPARE_FULL
    await store.people.compare_with(user.id, others)
    return None


def _changed(offer: Offer, name: str | None, *, dropped: bool) -> tuple[str, ...] | None:
    """The models compared with after a press: one more, or one less; None: no comparison any more.

    Those that are gone are left out: nobody could, for want of a button.
    """
    if name is None:
        return None
    others = tuple(other for other in offer.others if other in offer.descriptions and other != name)
    return (others if dropped else (*others, name)) or None
