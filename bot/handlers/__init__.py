"""What the bot does with updates: one router a concern."""

from __future__ import annotations

from aiogram import Router

from bot.handlers import (
    admin,
    album,
    anonymous,
    correction,
    errors,
    language,
    models,
    picture,
    privacy,
    question,
    rating,
    settings,
    start,
    variant,
    words,
)


def router() -> Router:
    """A new router of all concerns. From router to router aiogram needs as long as to ask their handlers."""
    every = Router(name="handlers")
    for one in routers():
        for kind, observer in one.observers.items():
            every.observers[kind].handlers += observer.handlers
    return every


def routers() -> list[Router]:
    """New routers, in the order in which they are asked; the last one takes what nobody else did."""
    return [
        errors.router(),
        anonymous.router(),
        start.router(),
        privacy.router(),
        language.router(),
        models.router(),
        settings.router(),
        admin.router(),
        rating.router(),
        variant.router(),
        words.router(),
        correction.router(),
        question.router(),
        album.router(),
        picture.router(),
    ]
