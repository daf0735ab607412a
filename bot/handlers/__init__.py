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
