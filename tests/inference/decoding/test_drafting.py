"""Guesses ahead change how often the exact decoder is asked, and nothing of what is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inference.common.types import DecodingOptions
from inference.decoding.decoder import Logits, Tokens
from inference.decoding.drafting import Drafted
from inference.decoding.processors import Forbid, LogitsProcessor
from inference.decoding.search import Generated, generate

PAD, BOS, EOS = 0, 1, 2
LENGTH = 24


class Language:
    """What follows depends on the picture and on all that was said, through a table of random logits."""

    buckets = 997

    def __init__(self, room: int = 100, noise: float = 0.0) -> None:
        self.vocabulary = 12
        self.table = np.random.default_rng(0).normal(size=(self.buckets, self.vocabulary)).astype(np.float32)
        self.table += noise * np.random.default_rng(1).normal(size=self.table.shape).astype(np.float32)
        self.table[:, EOS] = -5
        self.most = room
        self.asked = 0

    def start(self, memory: Tokens) -> tuple[Tokens, Tokens]:
        return (memory % self.buckets, np.zeros(len(memory), np.int64))

    def step(self, state: Any, tokens: Tokens) -> tuple[Logits, Any]:
        self.asked += 1
        hashed, places = state
        if (places >= self.most).any():
            raise ValueError("no room")
        hashed = (hashed * 31 + tokens * 7 + 3) % self.buckets
        return self.table[hashed], (hashed, places + 1)

    def feed(self, state: Any, tokens: Tokens, lengths: Tokens) -> Any:
        rows = []
        for row, (said, length) in enumerate(zip(tokens, lengths, strict=True)):
            own = tuple(part[row : row + 1] for part in state)
            for token in said[:length]:
                _, own = self.step(own, np.array([token]))
            rows.append(own)
        return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))

    def read(self, state: Any, tokens: Tokens) -> tuple[Logits, list[Any]]:
        before, found, states = self.asked, [], []
        for column in tokens.T:
            logits, state = self.step(state, column)
            found.append(logits)
            states.append(state)
        self.asked = before + 1
        return np.stack(found, 1), states

    def room(self, state: Any) -> int:
        return self.most - int(state[1].max())


def said(decoder: Any, options: DecodingOptions, pictures: int = 1, **extra: Any) -> Generated:
    return generate(decoder, np.arange(pictures), options, bos=BOS, eos=EOS, pad=PAD, **extra)


@pytest.mark.parametrize("noise", [0.0, 0.3, 5.0])
@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions("greedy", max_tokens=LENGTH),
        DecodingOptions("greedy", max_tokens=LENGTH, no_repeat_ngram=2, repetition_penalty=1.3),
        DecodingOptions("sample", seed=3, max_tokens=LENGTH),
        DecodingOptions("sample", seed=3, max_tokens=LENGTH, temperature=0.3),
        DecodingOptions("beam", beams=3, max_tokens=LENGTH),
    ],
)
@pytest.mark.parametrize("prompts", [None, [[5, 6, 7]]])
@pytest.mark.parametrize("forbidden", [(), (Forbid((4, 9)),)])
def test_whatever_is_searched_and_however_wrong_the_guesses_the_same_is_said(
    noise: float, options: DecodingOptions, prompts: Any, forbidden: tuple[LogitsProcessor, ...]
) -> None:
    told = said(Language(), options, processors=forbidden, prompts=prompts)
    drafted = said(Drafted(Language(), Language(noise=noise)), options, processors=forbidden, prompts=prompts)
    assert drafted == told


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions("sample", seed=3, max_tokens=30),
        DecodingOptions("sample", seed=3, max_tokens=30, temperature=2, top_p=0.9),
        DecodingOptions("greedy", max_tokens=30, no_repeat_ngram=1),
    ],
    ids=["drawn", "drawn of the likeliest", "what may not be said again"],
)
def test_guesses_are_chosen_as_the_search_chooses(options: DecodingOptions) -> None:
    exact, quick = Language(), Language()
    exact.vocabulary = quick.vocabulary = 60
    exact.table = quick.table = np.random.default_rng(0).normal(size=(exact.buckets, 60)).astype(np.float32)
    assert len(said(Drafted(exact, quick), options, processors=[Forbid((EOS,))]).tokens[0]) == 30
    # A token that was said and 7, 9 and 10 guesses; none of a quick decoder that knows as much is wrong.
    assert exact.asked == 4


def test_several_pictures_are_searched_without_guesses() -> None:
    quick = Language()
    options = DecodingOptions("greedy", max_tokens=LENGTH)
    assert said(Drafted(Language(), quick), options, 3) == said(Language(), options, 3)
    assert quick.asked == 0


def test_what_is_guessed_right_is_read_at_once_further_ahead_each_time() -> None:
    exact = Language()
    said(Drafted(exact, Language()), DecodingOptions("greedy", max_tokens=30))
    assert exact.asked == 4  # a token that was said and 5, 7, 9 and 10 guesses
    worse, quick = Language(), Language(noise=5)
    said(Drafted(worse, quick), DecodingOptions("greedy", max_tokens=30))
    assert 4 < worse.asked <= 30
    assert quick.asked < 3 * worse.asked, "soon it guesses one or two tokens, most of which are wrong"


def test_it_stops_at_a_guess_that_may_well_be_wrong() -> None:
    """Wrong guesses are those whose rivals are near: so few are made that are thrown away."""
    exact, quick = Language(), Language(noise=0.3)
    options = DecodingOptions("greedy", max_tokens=90)
    drafted = Drafted(exact, quick)
    assert said(drafted, options) == said(Language(), options)
    said_alone = 90 - exact.asked
    assert quick.asked - said_alone < exact.asked, (
        "less than one guess a reading is wrong or behind a wrong one"
    )


def test_nothing_is_guessed_behind_an_end() -> None:
    table = np.full((Language.buckets, 12), 0.0, np.float32)
    table[:, EOS] = 1
    exact, quick = Language(), Language()
    exact.table = quick.table = table
    assert said(Drafted(exact, quick), DecodingOptions("greedy", max_tokens=9)).tokens == [[]]
    assert (exact.asked, quick.asked) == (1, 1)


def test_nothing_is_guessed_beyond_the_room_there_is() -> None:
    options = DecodingOptions("greedy", max_tokens=LENGTH)
    exact = Language(room=LENGTH)
    assert said(Drafted(exact, Language()), options) == said(Language(), options)
    with pytest.raises(ValueError, match="no room"):
        said(Drafted(Language(room=LENGTH - 1), Language()), options)
