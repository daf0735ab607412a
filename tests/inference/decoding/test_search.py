"""The searches against brute force: every sentence of a tiny language is scored one by one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from inference.common.types import DecodingOptions, Strategy
from inference.decoding.decoder import Logits, Reorderable, Tokens, reorder, rows_of
from inference.decoding.processors import (
    NEVER,
    Forbid,
    ForbidByPicture,
    NoRepeatNgram,
    NoStammer,
    QuoteLines,
    RepetitionPenalty,
    WellFormed,
)
from inference.decoding.search import Generated, generate

PAD, BOS, EOS = 0, 1, 2


class TinyDecoder:
    """A language whose next token depends on the picture and on all that was said before (a running hash).

    ``memory`` (n,) int64 names each picture. Logits come from a table (buckets, V), so that a plain loop over
    sentences can score them too, without batches.
    """

    buckets = 97

    def __init__(self, vocabulary: int, seed: int = 0, eos_bonus: float = 0.0) -> None:
        normal = np.random.default_rng(seed).normal(size=(self.buckets, vocabulary))
        self.table = (2 * normal).astype(np.float32)
        self.table[:, EOS] += eos_bonus
        self.steps = 0

    def start(self, memory: Tokens) -> dict[str, Any]:
        empty = np.zeros((len(memory), 0), np.int64)
        return {"hash": (memory + 5) % self.buckets, "history": [empty], "name": "tiny"}

    def step(self, state: dict[str, Any], tokens: Tokens) -> tuple[Logits, dict[str, Any]]:
        self.steps += 1
        hashed = (state["hash"] * 31 + tokens * 7 + 3) % self.buckets
        grown = np.concatenate([state["history"][0], tokens[:, None]], 1)
        return self.table[hashed], {"hash": hashed, "history": [grown], "name": state["name"]}

    def logprobs(self, picture: int, said: tuple[int, ...]) -> list[float]:
        """Log-probabilities of the token after ``said``, by plain Python."""
        hashed = (picture + 5) % self.buckets
        for token in (BOS, *said):
            hashed = (hashed * 31 + token * 7 + 3) % self.buckets
        logits = self.table[hashed].tolist()
        total = math.log(sum(math.exp(value) for value in logits))
        return [value - total for value in logits]

    def score(self, picture: int, said: tuple[int, ...]) -> float:
        return sum(self.logprobs(picture, said[:i])[token] for i, token in enumerate(said))


def run(
    decoder: TinyDecoder, pictures: list[int], *, seeds: list[int] | None = None, **options: Any
) -> Generated:
    return generate(
        decoder,
        np.array(pictures, np.int64),
        DecodingOptions(**options),
        bos=BOS,
        eos=EOS,
        pad=PAD,
        seeds=seeds,
    )


def sentences(vocabulary: int, length: int) -> list[tuple[int, ...]]:
    """Every sentence of at most ``length`` tokens: ended by EOS, or cut at ``length``."""
    words = [token for token in range(vocabulary) if token != EOS]
    ended = [(*said, EOS) for size in range(length) for said in itertools.product(words, repeat=size)]
    return ended + list(itertools.product(words, repeat=length))


def strip(said: tuple[int, ...]) -> list[int]:
    return [token for token in said if token != EOS]


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0, -0.5])
@pytest.mark.parametrize(
    ("beams", "vocabulary", "length"),
    [(3, 4, 2), (5, 6, 2), (27, 4, 4), (25, 6, 3)],
    ids=["beam 3", "beam 5", "beam 27", "beam 25"],
)
def test_beam_finds_what_brute_force_finds(beams: int, vocabulary: int, length: int, penalty: float) -> None:
    # As many beams as there are prefixes that go on: the search may drop nothing, so it must be exact.
    pictures = list(range(12))
    decoder = TinyDecoder(vocabulary, seed=beams, eos_bonus=1.0)
    found = run(decoder, pictures, strategy="beam", beams=beams, max_tokens=length, length_penalty=penalty)
    for i, picture in enumerate(pictures):
        scored = {
            said: decoder.score(picture, said) / len(said) ** penalty
            for said in sentences(vocabulary, length)
        }
        best = max(scored, key=scored.__getitem__)
        assert found.tokens[i] == strip(best)
        assert found.scores[i] == pytest.approx(scored[best], abs=1e-5)
        assert found.logprobs[i] == pytest.approx(decoder.score(picture, best), abs=1e-5)
        assert found.finished[i] == (best[-1] == EOS)


def beam_by_hand(
    decoder: TinyDecoder, picture: int, *, vocabulary: int, beams: int, length: int, penalty: float
) -> tuple[float, tuple[int, ...]]:
    """The k best prefixes of every length, kept in plain lists and never stopped early."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    for size in range(1, length + 1):
        candidates = sorted(
            (
                (total + logprob, (*said, token))
                for total, said in live
                for token, logprob in enumerate(decoder.logprobs(picture, said))
            ),
            reverse=True,
        )
        stops = [c for c in candidates[:beams] if c[1][-1] == EOS or size == length]
        ended += [(total / size**penalty, said) for total, said in stops]
        live = [c for c in candidates if c[1][-1] != EOS][:beams]
    return max(ended)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("beams", [2, 3, 5, 8])
def test_narrow_beams_keep_the_best_prefixes_of_every_length(beams: int, penalty: float) -> None:
    vocabulary, length = 9, 8
    decoder = TinyDecoder(vocabulary, seed=7, eos_bonus=1.5)
    pictures = list(range(15))
    found = run(decoder, pictures, strategy="beam", beams=beams, max_tokens=length, length_penalty=penalty)
    for i, picture in enumerate(pictures):
        score, said = beam_by_hand(
            decoder, picture, vocabulary=vocabulary, beams=beams, length=length, penalty=penalty
        )
        assert found.tokens[i] == strip(said)
        assert found.scores[i] == pytest.approx(score, abs=1e-5)
    assert len({len(tokens) for tokens in found.tokens}) > 1  # the pictures ended at different steps


def test_greedy_takes_the_likeliest_token_of_every_step() -> None:
    decoder = TinyDecoder(9, seed=3, eos_bonus=0.0)
    pictures = list(range(20))
    found = run(decoder, pictures, strategy="greedy", max_tokens=10)
    for i, picture in enumerate(pictures):
        said: tuple[int, ...] = ()
        while len(said) < 10 and EOS not in said:
            logprobs = decoder.logprobs(picture, said)
            said = (*said, logprobs.index(max(logprobs)))
        assert found.tokens[i] == strip(said)
        assert found.finished[i] == (EOS in said)
        assert found.logprobs[i] == pytest.approx(decoder.score(picture, said), abs=1e-5)
        assert found.scores[i] == pytest.approx(found.logprobs[i] / len(said), abs=1e-6)
    assert set(found.finished) == {True, False}


def test_a_beam_of_one_is_greedy() -> None:
    decoder = TinyDecoder(9, seed=5, eos_bonus=1.0)
    pictures = list(range(25))
    alike = partial(
        run, decoder, pictures, max_tokens=9, no_repeat_ngram=2, repetition_penalty=1.3, min_tokens=2
    )
    assert alike(strategy="beam", beams=1) == alike(strategy="greedy")


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "greedy"},
        {"strategy": "beam", "beams": 3},
        {"strategy": "beam", "beams": 5, "length_penalty": 0.5, "no_repeat_ngram": 2},
        {"strategy": "sample", "seed": 11, "top_p": 0.9, "temperature": 1.4},
        {"strategy": "sample", "seed": 12, "top_k": 4, "repetition_penalty": 1.2},
    ],
    ids=["greedy", "beam 3", "beam 5", "top-p", "top-k"],
)
def test_a_batch_gives_what_single_calls_give(options: dict[str, Any]) -> None:
    decoder = TinyDecoder(9, seed=2, eos_bonus=0.7)
    pictures = [4, 8, 15, 16, 23, 42, 4]
    together = run(decoder, pictures, max_tokens=12, **options)
    for i, picture in enumerate(pictures):
        alone = run(decoder, [picture], max_tokens=12, **options)
        assert alone.tokens == [together.tokens[i]]
        assert alone.scores == pytest.approx([together.scores[i]], abs=1e-6)
        assert alone.finished == [together.finished[i]]


def test_every_row_draws_from_its_own_seed() -> None:
    decoder = TinyDecoder(40, seed=1, eos_bonus=-2.0)
    mixed = run(decoder, [3] * 6, strategy="sample", seeds=[1, 2, 3, 1, 2, 3], max_tokens=8)
    assert mixed.tokens[:3] == mixed.tokens[3:]
    assert len({tuple(tokens) for tokens in mixed.tokens}) == 3
    with pytest.raises(ValueError, match="one seed for each of the 2 pictures"):
        run(decoder, [1, 2], strategy="sample", seeds=[1])


def test_without_a_seed_every_call_draws_anew() -> None:
    decoder = TinyDecoder(40, seed=1, eos_bonus=-9.0)
    drawn = [run(decoder, [3], strategy="sample", max_tokens=20).tokens[0] for _ in range(2)]
    assert drawn[0] != drawn[1]


def frequencies(**options: object) -> list[float]:
    decoder = TinyDecoder(6, seed=4)
    n = 4000
    found = run(
        decoder, [7] * n, strategy="sample", seeds=list(range(n)), max_tokens=1, min_tokens=0, **options
    )
    drawn = [tokens[0] if tokens else EOS for tokens in found.tokens]
    return [drawn.count(token) / n for token in range(6)]


def shares(temperature: float = 1.0, keep: int = 6) -> list[float]:
    logprobs = TinyDecoder(6, seed=4).logprobs(7, ())
    least = sorted(logprobs)[-keep]
    mass = [math.exp(value / temperature) if value >= least else 0.0 for value in logprobs]
    return [value / sum(mass) for value in mass]


@pytest.mark.parametrize(
    ("options", "temperature", "keep"),
    [
        ({}, 1.0, 6),
        ({"temperature": 2.5}, 2.5, 6),
        ({"top_k": 2}, 1.0, 2),
        ({"top_k": 3, "temperature": 2.0}, 2.0, 3),
    ],
)
def test_samples_follow_the_distribution(options: dict[str, object], temperature: float, keep: int) -> None:
    assert frequencies(**options) == pytest.approx(shares(temperature, keep), abs=0.03)


def test_top_p_keeps_the_smallest_set_that_holds_the_mass() -> None:
    ordered = sorted(shares(), reverse=True)
    for keep in (1, 2, 4):
        # Just above the mass of one token fewer, and just below the mass of `keep` tokens.
        for p in (sum(ordered[: keep - 1]) + 1e-4, sum(ordered[:keep]) - 1e-4):
            drawn = frequencies(top_p=p)
            assert drawn == pytest.approx(shares(keep=keep), abs=0.03)
            assert sum(value > 0 for value in drawn) <= keep


def test_the_end_token_is_forbidden_before_min_tokens() -> None:
    decoder = TinyDecoder(6, seed=6, eos_bonus=6.0)
    for strategy in ("greedy", "beam", "sample"):
        free = run(decoder, list(range(10)), strategy=strategy, max_tokens=9, seed=0)
        held = run(decoder, list(range(10)), strategy=strategy, max_tokens=9, min_tokens=4, seed=0)
        assert min(map(len, free.tokens)) < 4
        assert all(len(tokens) >= 4 for tokens in held.tokens)
        assert all(EOS not in tokens for tokens in held.tokens)


def test_no_ngram_comes_twice() -> None:
    decoder = TinyDecoder(5, seed=8, eos_bonus=-20.0)
    for strategy in ("greedy", "beam"):
        plain = run(decoder, list(range(8)), strategy=strategy, max_tokens=14)
        distinct = run(decoder, list(range(8)), strategy=strategy, max_tokens=14, no_repeat_ngram=2)
        assert any(len(set(itertools.pairwise(t))) < len(t) - 1 for t in plain.tokens)
        assert all(len(set(itertools.pairwise(t))) == len(t) - 1 for t in distinct.tokens)


def forbidden(logits: Logits) -> list[list[int]]:
    assert logits.dtype == np.float32
    return [np.isneginf(row).nonzero()[0].tolist() for row in logits]


def test_the_processors_do_what_they_say() -> None:
    tokens = np.array([[3, 4, 3, 4], [3, 3, 3, 3], [1, 2, 3, 4]])
    logits = np.array([[1.0, -1.0, 2.0, -2.0, 4.0]], np.float32).repeat(3, 0)
    logits.setflags(write=False)  # a decoder's own array is never written to
    penalised = RepetitionPenalty(2.0)(tokens, logits)
    assert penalised.tolist() == [
        [1.0, -1.0, 2.0, -4.0, 2.0],
        [1.0, -1.0, 2.0, -4.0, 4.0],
        [1.0, -2.0, 1.0, -4.0, 2.0],
    ]
    assert forbidden(NoRepeatNgram(3)(tokens, logits)) == [[3], [3], []]
    assert forbidden(NoRepeatNgram(1)(tokens, logits)) == [[3, 4], [3], [1, 2, 3, 4]]
    assert forbidden(Forbid((0, 2))(tokens, logits)) == [[0, 2]] * 3
    lacking = np.array([[False, True, False, False, False]])
    assert forbidden(ForbidByPicture(lacking)(tokens, logits)) == [[1]] * 3


def test_a_hook_sees_the_tokens_so_far_and_rules_the_next() -> None:
    seen: list[tuple[int, ...]] = []

    def spell(tokens: Tokens, logits: Logits) -> Logits:
        seen.append(tuple(tokens.shape))
        wanted = [4, 3, 5, EOS][tokens.shape[1]]
        left = np.full_like(logits, NEVER)
        left[:, wanted] = 0
        return left

    searches: list[tuple[Strategy, int]] = [("greedy", 2), ("beam", 6)]
    for strategy, rows in searches:
        seen.clear()
        found = generate(
            TinyDecoder(7),
            np.array([1, 2]),
            DecodingOptions(strategy=strategy, beams=3, max_tokens=10),
            bos=BOS,
            eos=EOS,
            pad=PAD,
            processors=[spell],
        )
        assert found.tokens == [[4, 3, 5], [4, 3, 5]]
        assert found.finished == [True, True]
        assert found.logprobs == pytest.approx([0.0, 0.0])
        assert seen[:4] == [(rows, 0), (rows, 1), (rows, 2), (rows, 3)]


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_other_ends_end_a_sentence_as_its_own_does(strategy: Strategy) -> None:
    """Which of the ends is said makes no difference but to what it says: nothing."""
    decoder, memory = TinyDecoder(9, seed=4), np.arange(12)
    options = DecodingOptions(strategy=strategy, beams=3, max_tokens=8, seed=2)
    found = generate(decoder, memory, options, bos=BOS, eos=EOS, pad=PAD, ends=(5, 7))
    assert not any({EOS, 5, 7} & {*said} for said in found.tokens)
    assert any(found.finished)
    said = generate(decoder, memory, options, bos=BOS, eos=EOS, pad=PAD)
    ended = [min((row.index(end) for end in (5, 7) if end in row), default=None) for row in said.tokens]
    if strategy != "beam":  # a beam that may end sooner may find another sentence
        assert found.tokens == [row[:end] for row, end in zip(said.tokens, ended, strict=True)]
    longer = generate(decoder, memory, replace(options, min_tokens=3), bos=BOS, eos=EOS, pad=PAD, ends=(5, 7))
    assert all(len(said) >= 3 for said in longer.tokens)


def test_a_sentence_ends_where_the_hooks_leave_nothing_to_say() -> None:
    # Five words, none twice: after five words only the end is left.
    decoder = TinyDecoder(6, seed=1, eos_bonus=-30.0)
    for strategy in ("greedy", "beam", "sample"):
        found = run(decoder, [1, 2, 3], strategy=strategy, max_tokens=20, no_repeat_ngram=1)
        assert [sorted(tokens) for tokens in found.tokens] == [[0, 1, 3, 4, 5]] * 3
        assert found.finished == [True] * 3


@pytest.mark.parametrize("strategy", ["greedy", "sample"])
def test_rows_that_ended_are_fed_padding_and_change_nothing(strategy: Strategy) -> None:
    fed: list[list[int]] = []

    class Watched(TinyDecoder):
        def step(self, state: dict[str, Any], tokens: Tokens) -> tuple[Logits, dict[str, Any]]:
            fed.append(tokens.tolist())
            logits, state = super().step(state, tokens)
            # What follows the end token is arbitrary: here the worst a decoder could say.
            ended = (tokens == PAD) | (tokens == EOS)
            return np.where(ended[:, None], np.float32(np.nan), logits), state

    found = generate(
        Watched(8, seed=9, eos_bonus=1.0),
        np.arange(16),
        DecodingOptions(strategy=strategy, max_tokens=30, seed=3),
        bos=BOS,
        eos=EOS,
        pad=PAD,
        processors=[Forbid((PAD,))],
    )
    lengths = [len(tokens) for tokens in found.tokens]
    assert len(set(lengths)) > 2
    for i, size in enumerate(lengths):
        assert [row[i] for row in fed[: size + 1]] == [BOS, *found.tokens[i]]
        assert all(row[i] == PAD for row in fed[size + 1 :])


def test_the_search_stops_when_nothing_can_win_any_more() -> None:
    decoder = TinyDecoder(8, seed=3, eos_bonus=12.0)
    found = run(decoder, [1, 2, 3], strategy="beam", beams=4, max_tokens=500, length_penalty=0.0)
    assert found.tokens == [[], [], []]
    assert decoder.steps < 5
    decoder.steps = 0
    run(decoder, [1, 2, 3], strategy="greedy", max_tokens=500)
    assert decoder.steps < 5


def test_the_search_does_not_go_on_for_as_long_as_there_is_room() -> None:
    found, steps = [], []
    for room in (200, 1000):
        decoder = TinyDecoder(9, seed=0, eos_bonus=2.0)
        found.append(run(decoder, [0, 1, 2], strategy="beam", beams=3, max_tokens=room))
        steps.append(decoder.steps)
    assert found[0] == found[1]
    assert found[0].finished == [True, True, True]
    assert steps[0] == steps[1] < 100


def test_max_tokens_counts_the_end_token() -> None:
    decoder = TinyDecoder(6, seed=6, eos_bonus=-40.0)
    for strategy in ("greedy", "beam", "sample"):
        found = run(decoder, [1, 2], strategy=strategy, max_tokens=3)
        assert [len(tokens) for tokens in found.tokens] == [3, 3]
        assert found.finished == [False, False]


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert run(TinyDecoder(5), []).tokens == []


@pytest.mark.parametrize("worst", [np.nan, np.inf])
@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_outputs_that_are_not_numbers_are_refused(strategy: str, worst: float) -> None:
    decoder = TinyDecoder(6)
    decoder.table[:] = worst
    with pytest.raises(ValueError, match="checkpoint is damaged"):
        run(decoder, [1], strategy=strategy, max_tokens=5)


class Pair(NamedTuple):
    left: Tokens
    right: Logits


@dataclass(frozen=True)
class Cache:
    keys: tuple[Tokens, ...]
    position: int
    note: str | None = None
    parts: list[dict[str, Tokens]] = field(default_factory=list)


@dataclass(frozen=True)
class Foreign(Reorderable):
    """Another runtime's value, which numpy cannot index."""

    values: list[str]

    @property
    def rows(self) -> int:
        return len(self.values)

    def reorder(self, index: Tokens) -> Foreign:
        return Foreign([self.values[i] for i in index.tolist()])


def test_reorder_selects_rows_in_every_kind_of_state() -> None:
    rows = np.arange(12).reshape(3, 4)
    state = {
        "pair": Pair(rows, rows.astype(np.float32)),
        "cache": Cache((rows, rows + 100), 7, None, [{"a": rows}]),
        "foreign": Foreign(["x", "y", "z"]),
        "flag": True,
    }
    index = np.array([2, 0, 0, 1])
    moved = reorder(state, index)
    expected = rows[index]
    assert isinstance(moved["pair"], Pair)
    assert np.array_equal(moved["pair"].left, expected)
    assert np.array_equal(moved["pair"].right, expected)
    assert np.array_equal(moved["cache"].keys[1], expected + 100)
    assert np.array_equal(moved["cache"].parts[0]["a"], expected)
    assert (moved["cache"].position, moved["cache"].note, moved["flag"]) == (7, None, True)
    assert moved["foreign"].values == ["z", "x", "x", "y"]
    assert np.array_equal(rows, np.arange(12).reshape(3, 4))
    assert rows_of(moved) == rows_of(moved["foreign"]) == 4
    with pytest.raises(TypeError, match="may not hold set"):
        reorder({"bad": {1, 2}}, index)
    with pytest.raises(TypeError, match="at least one array"):
        rows_of({"name": "tiny"})


def test_beams_carry_their_own_state() -> None:
    """Each beam's state must be the one its own tokens made, through every reordering."""

    class Checked(TinyDecoder):
        def step(self, state: dict[str, Any], tokens: Tokens) -> tuple[Logits, dict[str, Any]]:
            logits, state = super().step(state, tokens)
            for hashed, said in zip(state["hash"].tolist(), state["history"][0].tolist(), strict=True):
                assert any(hashed == self.replay(picture, said) for picture in (5, 6))
            return logits, state

        def replay(self, picture: int, said: list[int]) -> int:
            hashed = (picture + 5) % self.buckets
            for token in said:
                hashed = (hashed * 31 + token * 7 + 3) % self.buckets
            return hashed

    decoder = Checked(12, seed=10, eos_bonus=-1.0)
    found = run(decoder, [5, 6], strategy="beam", beams=5, max_tokens=15)
    assert decoder.steps > 5
    for picture, tokens, logprob, finished in zip(
        (5, 6), found.tokens, found.logprobs, found.finished, strict=True
    ):
        said = (*tokens, EOS) if finished else tuple(tokens)
        assert decoder.score(picture, said) == pytest.approx(logprob, abs=1e-4)


def test_marks_stand_where_they_may_and_nothing_stutters() -> None:
    opens, closes, comma, stop, word, other, end = range(7)
    process, once = WellFormed(opens, closes, (comma,), (stop,), (end,)), NoStammer()

    def may_follow(*said: int) -> set[int]:
        tokens = np.array([said], np.int64).reshape(1, -1)
        found = once(tokens, process(tokens, np.zeros((1, 7), np.float32)))
        return {int(token) for token in np.flatnonzero(found[0] > NEVER)}

    assert may_follow() == {opens, word, other, end}
    assert may_follow(word) == {opens, comma, stop, other, end}
    assert may_follow(word, comma) == {opens, word, other}
    assert may_follow(word, stop) == {opens, word, other, end}
    assert may_follow(word, opens) == {word, other}
    assert may_follow(opens, word) == {closes, comma, other}
    assert may_follow(opens, word, comma) == {word, other}
    assert may_follow(opens, word, closes) == {opens, comma, stop, word, other, end}


def test_a_piece_within_a_word_may_come_twice() -> None:
    word, piece = 0, 1
    tokens = np.array([[word, piece], [piece, word]])
    found = NoStammer(frozenset({piece}))(tokens, np.zeros((2, 3), np.float32))
    assert (found == NEVER).tolist() == [[False, False, False], [True, False, False]]


def test_quotations_hold_the_lines_of_the_picture_each_once() -> None:
    opens, closes, first, second, word = range(5)
    process = QuoteLines(opens, closes, (first, second))

    def may_follow(*said: int, lacking: int | None = None) -> set[int]:
        logits = np.zeros((1, 5), np.float32)
        if lacking is not None:
            logits[0, lacking] = NEVER
        found = process(np.array([said], np.int64).reshape(1, -1), logits)
        return {int(token) for token in np.flatnonzero(found[0] > NEVER)}

    assert may_follow() == {opens, word}
    assert may_follow(word, opens) == {first, second}
    assert may_follow(opens, first) == {second, closes}
    assert may_follow(opens, first, closes) == {opens, word}
    # No second line is there: neither in a quotation, nor is one opened for it.
    assert may_follow(opens, first, lacking=second) == {closes}
    assert may_follow(opens, first, closes, lacking=second) == {word}
