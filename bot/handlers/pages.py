"""Pages of the bot about itself and about a person's choices, and the buttons under them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiogram.types import InlineKeyboardMarkup

from bot.captioning import models
from bot.config import Settings
from bot.feedback.tables import User
from bot.messages.buttons import (
    DROP,
    MISSING,
    NONE,
    TELLING,
    TURN,
    column,
    compare_data,
    consent_data,
    forget_data,
    language_data,
    model_data,
    settings_data,
)
from bot.messages.lengths import MESSAGE_LIMIT, length, shortened
from bot.texts import Html, Texts, sentences
from inference.checkpoints.models import MissingModel, ModelInfo

_LANGUAGES = {"ru": "Русский", "en": "English"}  # each as its speakers call it
_TELLING = {  # the labels of the choices of bot.messages.buttons.TELLING
    "short": sentences.SHORT,
    "usual": sentences.USUAL,
    "detailed": sentences.DETAILED,
    "in": sentences.WORDS_IN_PLACE,
    "apart": sentences.WORDS_APART,
    "ru": sentences.IN_RUSSIAN,
    "en": sentences.IN_ENGLISH,
    "uk": sentences.IN_UKRAINIAN,
}
_MODEL_BUTTONS = 90  # Telegram takes 100 in all
_DESCRIPTION = 160  # UTF-16 units of a model's description, at most


def privacy_page(consent: bool, hosts: Sequence[str], texts: Texts, settings: Settings) -> str:
    """What is kept and for how long, and whither pictures go, as HTML. ``hosts``: see
    bot.captioning.models.Catalogue.
    """
    days = (
        (sentences.PICTURES_GO, settings.keep_pictures_days),
        (sentences.TEXTS_GO, settings.keep_texts_days),
    )
    told = " ".join(texts.plural(sentence, number) for sentence, number in days if number)
    state = " ".join([*_departure(hosts, texts), _consent_state(consent, texts)])
    page = texts(sentences.PRIVACY, state=Html(state))
    return f"{page}\n\n{told}" if told else page


def greeting(consent: bool | None, hosts: Sequence[str], texts: Texts) -> str:
    """What the bot is, whither pictures go, and whether it may keep them (None: nobody is asked), as HTML."""
    said = [texts(sentences.START), *_departure(hosts, texts)]
    if consent is not None:
        said.append(texts(sentences.CONSENT_QUESTION, state=_consent_state(consent, texts)))
    return "\n\n".join(said)


def _departure(hosts: Sequence[str], texts: Texts) -> list[str]:
    """The sentence about the machines to which pictures go, where there are any."""
    return [texts(sentences.SENT_ELSEWHERE, hosts=", ".join(hosts))] if hosts else []


def _consent_state(consent: bool, texts: Texts) -> str:
    return texts(sentences.CONSENT_ON if consent else sentences.CONSENT_OFF)


def consent_keyboard(user: User, consent: bool, texts: Texts, *, start: bool = False) -> InlineKeyboardMarkup:
    """The button that changes whether pictures may be kept; ``start``: it stands under the greeting."""
    text = sentences.DISALLOW if consent else sentences.ALLOW
    return column([(texts(text), consent_data(not consent, user.id, start=start))])


def forget_keyboard(user: User, texts: Texts) -> InlineKeyboardMarkup:
    """Whether everything about the person is to be erased."""
    return column(
        [
            (texts(sentences.FORGET_YES), forget_data(True, user.id)),
            (texts(sentences.FORGET_NO), forget_data(False, user.id)),
        ]
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """The models a person may choose from, and what describes their pictures now."""

    user_id: int
    descriptions: Mapping[str, str]  # by name, see description
    first: str
    others: tuple[str, ...]  # of a comparison; (): there is none
    own: bool  # the person chose the first one; False: it is the operator's
    only_russian: Sequence[str] = ()  # names of those that do not know the language the person wants
    hosts: Mapping[str, str] = field(default_factory=dict)  # by name, the other machines that models run on
    missing: Sequence[MissingModel] = ()  # what an operator could add; nobody else is told

    @property
    def used_hosts(self) -> list[str]:
        """The other machines to which the person's pictures go by their choice."""
        return [*dict.fromkeys(self.hosts[name] for name in (self.first, *self.others) if name in self.hosts)]


def model_state(offer: Offer, texts: Texts) -> str:
    """Which model describes the person's pictures, as HTML."""
    if offer.first not in offer.descriptions:
        return texts(sentences.MODEL_STATE_GONE, model=offer.first)
    state = sentences.MODEL_STATE_OWN if offer.own else sentences.MODEL_STATE_USUAL
    said = [texts(state, model=offer.first)]
    if offer.first in offer.only_russian:
        said.append(texts(sentences.ONLY_RUSSIAN, model=offer.first))
    return " ".join([*said, *_departure(offer.used_hosts, texts)])


def description(model: ModelInfo | MissingModel, texts: Texts) -> str:
    """What the model is good at, and how good, as far as its card says."""
    told = shortened((texts.language == "ru" and model.description_ru) or model.description, _DESCRIPTION)
    scores = _scores(model, texts) if isinstance(model, ModelInfo) else ""
    return " ".join(filter(None, (told, scores)))


def _scores(model: ModelInfo, texts: Texts) -> str:
    """First those that say something to whoever knows no measures."""
    values = {score.key: score.value for score in model.scores}
    shares = [
        texts(sentence, share=round(100 * values[key]))
        for key, sentence in (
            ("quote_recall", sentences.SCORE_WORDS),
            ("content_precision", sentences.SCORE_THINGS),
        )
        if key in values
    ]
    measures = [
        f"{name} {texts.decimal(values[key], 3)}"
        for key, name in (("bleu4", "BLEU-4"), ("meteor", "METEOR"))
        if key in values
    ]
    told = "; ".join([*shares, *measures])
    return texts(sentences.MODEL_SCORES, scores=told) if told else ""


def model_page(offer: Offer, texts: Texts) -> str:
    """The same, and which models there are, as HTML."""
    state, listed = Html(model_state(offer, texts)), Html(_models(offer))
    return texts(sentences.MODEL_PAGE, state=state, models=listed)


def _models(offer: Offer) -> str:
    names = [_bold(name) for name in offer.descriptions]
    lines = [
        f"{name} – {html.escape(told, quote=False)}" if told else name
        for name, told in zip(names, offer.descriptions.values(), strict=True)
    ]
    return _fitting(["\n".join(lines), "\n".join(names)]) or ", ".join(names[:20]) + " …"


def _fitting(pages: Sequence[str]) -> str:
    """The first of several wordings of a list, the longest first, that leaves room for the rest of its page;
    "" where none does."""
    return next((page for page in pages if length(page) <= MESSAGE_LIMIT - 1000), "")


def _bold(text: str) -> str:
    return f"<b>{html.escape(text, quote=False)}</b>"


def missing_page(offer: Offer, texts: Texts) -> str:
    """The models that are known and not here, each with the command that gets it, as HTML."""
    lines = [
        (_bold(one.name), html.escape(description(one, texts), quote=False), f"<code>{one.command}</code>")
        for one in offer.missing
    ]
    whole = "\n".join(f"{name} – {told} {command}" for name, told, command in lines)
    short = "\n".join(f"{name}: {command}" for name, _, command in lines)
    return texts(sentences.MISSING_PAGE, models=Html(_fitting([whole, short])))


def missing_keyboard(offer: Offer, texts: Texts) -> InlineKeyboardMarkup:
    """The way back."""
    return column([(texts(sentences.MODEL_TURN), model_data(TURN, offer.user_id))])


def model_keyboard(offer: Offer, texts: Texts) -> InlineKeyboardMarkup:
    """The usual model, every model by name (the present one chosen), and the way to comparing."""
    buttons = [(_chosen(texts(sentences.MODEL_USUAL), not offer.own, texts), model_data(NONE, offer.user_id))]
    buttons += [
        (_chosen(name, offer.own and name == offer.first, texts), model_data(models.key(name), offer.user_id))
        for name in [*offer.descriptions][:_MODEL_BUTTONS]
    ]
    if len(offer.descriptions) > 1 or offer.others:
        buttons.append((texts(sentences.COMPARE_TURN), compare_data(TURN, offer.user_id)))
    if offer.missing:
        buttons.append((texts(sentences.MISSING_TURN), model_data(MISSING, offer.user_id)))
    return column(buttons)


def compare_state(offer: Offer, texts: Texts) -> str:
    """How many descriptions each picture gets, and by whom, as HTML."""
    states = (sentences.COMPARE_STATE_OFF, sentences.COMPARE_STATE_TWO, sentences.COMPARE_STATE_THREE)
    others = dict(zip(("second", "third"), offer.others, strict=False))
    state = texts(states[len(others)], first=offer.first, **others)
    return " ".join([state, *_departure(offer.used_hosts, texts)])


def compare_page(offer: Offer, texts: Texts) -> str:
    """The same, and what can be chosen, as HTML."""
    others = any(name != offer.first for name in offer.descriptions)
    advice = texts(sentences.COMPARE_CHOOSE if others else sentences.COMPARE_ALONE)
    return texts(sentences.COMPARE_PAGE, state=Html(compare_state(offer, texts)), advice=Html(advice))


def compare_keyboard(offer: Offer, texts: Texts) -> InlineKeyboardMarkup:
    """One description, and every other model: to be compared with, or where it is (chosen), no more. The way
    back.
    """
    buttons = [
        (_chosen(texts(sentences.COMPARE_OFF), not offer.others, texts), compare_data(NONE, offer.user_id))
    ]
    for name in [*offer.descriptions][:_MODEL_BUTTONS]:
        if name != offer.first:
            chosen = name in offer.others
            choice = f"{DROP if chosen else ''}{models.key(name)}"
            text = _chosen(texts(sentences.COMPARE_WITH, model=name), chosen, texts)
            buttons.append((text, compare_data(choice, offer.user_id)))
    return column([*buttons, (texts(sentences.MODEL_TURN), model_data(TURN, offer.user_id))])


def language_keyboard(user: User, texts: Texts) -> InlineKeyboardMarkup:
    """The languages of the interface, the present one chosen."""
    return column(
        [
            (_chosen(name, code == texts.language, texts), language_data(code, user.id))
            for code, name in _LANGUAGES.items()
        ]
    )


def settings_state(user: User, only_russian: Sequence[str], texts: Texts) -> str:
    """How this person's pictures are described, and which models do not know the language, as HTML."""
    chosen = [texts(label) for choice, label in _TELLING.items() if _is_chosen(choice, user)]
    said = ", ".join(f"{label[:1].lower()}{label[1:]}" for label in chosen)
    others = [texts(sentences.ONLY_RUSSIAN, model=model) for model in only_russian]
    return " ".join([texts(sentences.SETTINGS_STATE, chosen=said), *others])


def settings_page(user: User, only_russian: Sequence[str], texts: Texts) -> str:
    """The same under a heading, as HTML."""
    return texts(sentences.SETTINGS_PAGE, state=Html(settings_state(user, only_russian, texts)))


def settings_keyboard(user: User, texts: Texts) -> InlineKeyboardMarkup:
    """Every choice, and which are chosen."""
    return column(
        [
            (
                _chosen(texts(label), _is_chosen(choice, user), texts),
                settings_data(choice, user.id),
            )
            for choice, label in _TELLING.items()
        ]
    )


def _is_chosen(choice: str, user: User) -> bool:
    name, value = TELLING[choice]
    return bool(getattr(user, name) == value)


def _chosen(text: str, yes: bool, texts: Texts) -> str:
    """A choice's button. What is chosen is said in words: some screen readers pass signs by."""
    return texts(sentences.CHOSEN, choice=text) if yes else text
