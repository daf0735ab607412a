"""What a model's card tells. Plain data: what reads it (:mod:`.card_file`) takes time to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """One score of a model. ``key``: the evaluator's name of the measure; ``name``: its title for people."""

    key: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of a model; "" and () for what its card lacks."""

    description: str = ""  # the first paragraph, on one line
    description_ru: str = ""
    scores: tuple[Score, ...] = ()  # in the card's order
    talks: bool = False  # it answers questions about pictures
