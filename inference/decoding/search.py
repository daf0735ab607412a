"""Searching for a caption: greedy, beam and sampling, written once for every decoder.

Shapes: n pictures, k beams, r = n * k rows (row ``i`` belongs to picture ``i // k``; k = 1 except in beam
search), V logits a row, t tokens generated so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from inference.common.types import DecodingOptions
from inference.decoding.decoder import (
    Decoder,
    Foreseeing,
    Logits,
    Prompted,
    State,
    Step,
    Tokens,
    reorder,
    rows_of,
)
from inference.decoding.distributions import log_softmax, top
from inference.decoding.processors import NEVER, LogitsProcessor, asked_for, processed
from inference.decoding.sampling import Choice, Likeliest, Sampler, seeds_of

_FREE = 40  # further tokens that may cost a sentence nothing: as many lines as a description quotes


@dataclass(frozen=True, slots=True)
class Generated:
    """The best continuation found for each of n pictures."""

    tokens: list[list[int]]  # without the start and end tokens
    scores: list[float]  # logprobs / length ** length_penalty (beam), logprobs / length (greedy, sample)
    logprobs: list[float]  # natural logarithm of the probability of all tokens, end token included
    finished: list[bool]  # False where max_tokens cut the sentence before its end token


def generate(
    decoder: Decoder,
    memory: Any,
    options: DecodingOptions,
    *,
    bos: int,
    eos: int,
    pad: int,
    ends: Sequence[int] = (),
    processors: Sequence[LogitsProcessor] = (),
    within: frozenset[int] = frozenset(),
    seeds: Sequence[int] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
) -> Generated:
    """Captions the n pictures of ``memory``.

    At most ``options.max_tokens`` tokens are generated for a picture, the end token among them. Every
    picture gets what it would get alone: nothing passes between rows, rows that have ended are fed ``pad``
    and ignored. A token of ``ends`` ends a sentence as ``eos`` does. ``processors`` run before those that the
    options ask for. The tokens ``within``, pieces that go on with a word, may be said again where phrases may
    not.

    Sampling: each picture has a random generator of its own, seeded with ``seeds[i]`` where given, else with
    ``options.seed`` (the same for all, so a picture's caption does not depend on its neighbours), else anew.

    ``prompts``: tokens fed to each picture's row after the start token and before the sentence, at least one;
    the decoder needs ``feed(state, tokens, lengths)``, see :class:`inference.decoders.base.CaptionDecoder`.

    Raises ValueError when the decoder's outputs are not numbers (a damaged checkpoint), or the options leave
    the search to a model.
    """
    if options.strategy == "own":
        raise ValueError("Which search is the model's own is known to who loaded it: see DecodingOptions.")
    state = decoder.start(memory)
    n = rows_of(state)
    if n == 0:
        return Generated([], [], [], [])
    ending = (eos, *ends)
    search = _Search(decoder, options, ending, pad, (*processors, *asked_for(options, ending, within)))
    first = np.full(n, bos, np.int64)
    if prompts is not None:
        if not isinstance(decoder, Prompted) or len(prompts) != n or not all(prompts):
            raise ValueError(f"Give each of the {n} pictures a prompt, and a decoder that takes them.")
        lengths = np.array([len(prompt) for prompt in prompts], np.int64)
        before = np.full((n, int(lengths.max())), pad, np.int64)
        for row, prompt in zip(before, prompts, strict=True):
            row[: len(prompt)] = [bos, *prompt[:-1]]
        state = decoder.feed(state, before, lengths)
        first = np.array([prompt[-1] for prompt in prompts], np.int64)
    if options.strategy == "beam" and options.beams > 1:
        return search.beam(state, first)
    choose: Choice = Likeliest()
    if options.strategy == "sample":
        choose = Sampler(options, seeds_of(options, seeds, n))
    return search.single(state, first, choose)


class _Search:
    def __init__(
        self,
        decoder: Decoder,
        options: DecodingOptions,
        ends: tuple[int, ...],
        pad: int,
        processors: Sequence[LogitsProcessor],
    ) -> None:
        self.decoder = decoder
        self.options = options
        self.ends = ends
        self.pad = pad
        self.processors = processors

    def processed(self, tokens: Tokens, logits: Logits) -> Logits:
        """The logits (r, V) of what follows the tokens (r, t), after the processors."""
        return processed(self.processors, tokens, logits, self.ends[0])

    def single(self, state: State, first: Tokens, choose: Choice) -> Generated:
        n, rows = len(first), np.arange(len(first))
        step: Step = self.decoder.step
        if n == 1 and isinstance(self.decoder, Foreseeing):
            step, state = self.decoder.foreseeing(state, partial(self._foreseen, choose))
        tokens = np.empty((n, 0), np.int64)
        total = np.zeros(n, np.float32)
        length = np.zeros(n, np.int64)
        ended = np.zeros(n, np.bool_)
        last = first
        for place in range(self.options.max_tokens):
            logits, state = step(state, last)
            logprobs = log_softmax(self.processed(tokens, logits))
            chosen = choose(logprobs, place)
            total += np.where(ended, 0, logprobs[rows, chosen])
            length += ~ended
            ended |= (chosen[:, None] == self.ends).any(1)
            last = np.where(ended, self.pad, chosen)
            tokens = np.concatenate([tokens, last[:, None]], 1)
            if ended.all():
                break
        finished, lengths = ended.tolist(), length.tolist()
        said = [row[: size - end] for row, size, end in zip(tokens.tolist(), lengths, finished, strict=True)]
        logprob = total.tolist()
        scores = [value / size for value, size in zip(logprob, lengths, strict=True)]
        return _checked(Generated(said, scores, logprob, finished))

    def _foreseen(self, choose: Choice, tokens: Tokens, logits: Logits) -> tuple[int, float] | None:
        """See :data:`inference.decoding.decoder.Foreseen`."""
        place = tokens.shape[1]
        if place + 1 == self.options.max_tokens:
            return None
        left = self.processed(tokens, logits)
        chosen = int(choose(left, place)[0])
        return None if chosen in self.ends else (chosen, choose.lead(left))

    def beam(self, state: State, first: Tokens) -> Generated:
        """Beam search as Hugging Face's: of 2k candidates the k best that go on, and those of the k best
        that end, are kept; the best of all by log-probability / length ** length_penalty is the answer. Of
        equal ones that which stands first: of the better beam, then of the lower token."""
        n, k = len(first), self.options.beams
        rows = np.arange(n * k)
        state = reorder(state, rows // k)
        last = first.repeat(k)
        tokens = np.empty((n * k, 0), np.int64)
        running = np.full((n, k), NEVER)
        running[:, 0] = 0  # the k rows are alike at first: one of them speaks
        best: list[_Hypothesis | None] = [None] * n
        done = [False] * n
        for size in range(1, self.options.max_tokens + 1):
            logits, state = self.decoder.step(state, last)
            logprobs = log_softmax(self.processed(tokens, logits))
            if np.isnan(logprobs[:, 0]).any():  # one NaN makes all of its row
                raise ValueError(_NOT_NUMBERS)
            # Of the 2k best candidates none is below the 2k best of its own row.
            values, token = top(logprobs, 2 * k)  # (r, up to 2k), best first
            width = token.shape[1]
            values, where = top((running.reshape(-1, 1) + values).reshape(n, -1), 2 * k)  # (n, up to 2k)
            parent = where // width + rows[::k, None]
            token = np.take_along_axis(token.reshape(n, -1), where, 1)
            ends = (token[:, :, None] == self.ends).any(-1)
            # Those of the k best candidates that stop here: at their end token, or all where room ends.
            stops = ends[:, :k] | (size == self.options.max_tokens)
            for i, j in np.argwhere(stops & (values[:, :k] > NEVER)).tolist():
                score = float(values[i, j]) / size**self.options.length_penalty
                rival = best[i]
                if done[i] or (rival is not None and rival.score >= score):
                    continue
                said = tokens[parent[i, j]].tolist()
                finished = bool(ends[i, j])
                best[i] = _Hypothesis(
                    said if finished else [*said, int(token[i, j])], score, float(values[i, j]), finished
                )
            # The k best that do not end go on.
            running, chosen = top(np.where(ends, NEVER, values), k)
            index = np.take_along_axis(parent, chosen, 1).reshape(-1)
            last = np.take_along_axis(token, chosen, 1).reshape(-1)
            leaders = running[:, 0].tolist()
            for i in range(n):
                done[i] = done[i] or self._settled(best[i], leaders[i], size)
            if all(done):
                break
            if not np.array_equal(index, rows):
                state = reorder(state, index)
            tokens = np.concatenate([tokens[index], last[:, None]], 1)
        found = [hypothesis for hypothesis in best if hypothesis is not None]
        if len(found) < n:
            raise ValueError(_NOT_NUMBERS)
        return _checked(
            Generated(
                [h.tokens for h in found],
                [h.score for h in found],
                [h.logprob for h in found],
                [h.finished for h in found],
            )
        )

    def _settled(self, best: _Hypothesis | None, leader: float, size: int) -> bool:
        """True when no running hypothesis (the likeliest has log-probability ``leader``) will still win.

        Log-probabilities only fall, so what a hypothesis of ``size`` tokens can reach is its present sum over
        the kindest of the lengths it may yet have. The longest has :data:`_FREE` tokens more: to wait for one
        that fills all the room for nothing doubles the time of a search, and none ever came.
        """
        if best is None:
            return False
        penalty = self.options.length_penalty
        lengths = (size + 1, max(size + 1, min(size + _FREE, self.options.max_tokens)))
        return bool(best.score >= max(leader / length**penalty for length in lengths))


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    tokens: list[int]
    score: float
    logprob: float
    finished: bool


_NOT_NUMBERS = (
    "The decoder's outputs are not numbers (NaN or infinite): the checkpoint is damaged, "
    "load it anew or train it again."
)


def _checked(generated: Generated) -> Generated:
    if any(not abs(value) < float("inf") for value in generated.logprobs):
        raise ValueError(_NOT_NUMBERS)
    return generated
