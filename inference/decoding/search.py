"""Searching for a caption: greedy, beam and sampling, written once for every decoder.

Shapes: n pictures, k beams, r = n * k rows (row ``i`` belongs to picture ``i // k``; k = 1 except in beam
search), V logits a row, t tokens generated so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference.common.types import DecodingOptions
from inference.decoding.decoder import Decoder, Prompted, State, reorder, tensors_of
from inference.decoding.processors import LogitsProcessor, asked_for
from inference.decoding.sampling import Sampler, argmax, seeds_of


@dataclass(frozen=True, slots=True)
class Generated:
    """The best continuation found for each of n pictures."""

    tokens: list[list[int]]  # without the start and end tokens
    scores: list[float]  # logprobs / length ** length_penalty (beam), logprobs / length (greedy, sample)
    logprobs: list[float]  # natural logarithm of the probability of all tokens, end token included
    finished: list[bool]  # False where max_tokens cut the sentence before its end token


@torch.inference_mode()
def generate(
    decoder: Decoder,
    memory: Any,
    options: DecodingOptions,
    *,
    bos: int,
    eos: int,
    pad: int,
    processors: Sequence[LogitsProcessor] = (),
    seeds: Sequence[int] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
) -> Generated:
    """Captions the n pictures of ``memory``.

    At most ``options.max_tokens`` tokens are generated for a picture, the end token among them. Every
    picture gets what it would get alone: nothing passes between rows, rows that have ended are fed ``pad``
    and ignored. ``processors`` run before those that the options ask for. A torch module must be in eval
    mode.

    Sampling: each picture has a random generator of its own, seeded with ``seeds[i]`` where given, else with
    ``options.seed`` (the same for all, so a picture's caption does not depend on its neighbours), else anew.

    ``prompts``: tokens fed to each picture's row after the start token and before the sentence, at least one;
    the decoder needs ``feed(state, tokens, lengths)``, see :class:`inference.decoders.base.CaptionDecoder`.

    Raises ValueError when the decoder's outputs are not numbers (a damaged checkpoint).
    """
    state = decoder.start(memory)
    leaf = next(tensors_of(state), None)
    if leaf is None:
        raise TypeError("A decoder's state must hold at least one tensor, whose dimension 0 is the batch.")
    n, device = leaf.shape[0], leaf.device
    if n == 0:
        return Generated([], [], [], [])
    search = _Search(decoder, options, eos, pad, (*processors, *asked_for(options, eos)))
    first = torch.full((n,), bos, dtype=torch.long, device=device)
    if prompts is not None:
        if not isinstance(decoder, Prompted) or len(prompts) != n or not all(prompts):
            raise ValueError(f"Give each of the {n} pictures a prompt, and a decoder that takes them.")
        fed = [first.new_tensor([bos, *prompt]) for prompt in prompts]
        first = torch.stack([row[-1] for row in fed])
        lengths = first.new_tensor([len(row) - 1 for row in fed])
        before = torch.nn.utils.rnn.pad_sequence(
            [row[:-1] for row in fed], batch_first=True, padding_value=pad
        )
        state = decoder.feed(state, before, lengths)
    if options.strategy == "beam" and options.beams > 1:
        return search.beam(state, first)
    choose: Callable[[Tensor], Tensor] = argmax
    if options.strategy == "sample":
        choose = Sampler(options, seeds_of(options, seeds, n))
    return search.single(state, first, choose)


class _Search:
    def __init__(
        self,
        decoder: Decoder,
        options: DecodingOptions,
        eos: int,
        pad: int,
        processors: Sequence[LogitsProcessor],
    ) -> None:
        self.decoder = decoder
        self.options = options
        self.eos = eos
        self.pad = pad
        self.processors = processors

    def step(self, state: State, last: Tensor, tokens: Tensor) -> tuple[Tensor, State]:
        """Log-probabilities (r, V), float32, after the processors, and the new state."""
        logits, state = self.decoder.step(state, last)
        logits = logits.float()
        for process in self.processors:
            logits = process(tokens, logits)
        # Where the processors left nothing to say, the sentence ends.
        stuck = torch.isneginf(logits.amax(-1, keepdim=True))
        if bool(stuck.any()):
            end = torch.arange(logits.shape[1], device=logits.device) == self.eos
            logits = logits.masked_fill(stuck & end, 0.0)
        return logits.log_softmax(-1), state

    def single(self, state: State, first: Tensor, choose: Callable[[Tensor], Tensor]) -> Generated:
        n = first.shape[0]
        tokens = first.new_empty((n, 0))
        total = torch.zeros(n, device=first.device)
        length = torch.zeros(n, dtype=torch.long, device=first.device)
        ended = torch.zeros(n, dtype=torch.bool, device=first.device)
        last = first
        for _ in range(self.options.max_tokens):
            logprobs, state = self.step(state, last, tokens)
            chosen = choose(logprobs)
            total = total + logprobs.gather(1, chosen[:, None])[:, 0].masked_fill(ended, 0.0)
            length = length + (~ended).long()
            ended = ended | (chosen == self.eos)
            last = chosen.masked_fill(ended, self.pad)
            tokens = torch.cat([tokens, last[:, None]], 1)
            if bool(ended.all()):
                break
        finished = ended.tolist()
        lengths = length.tolist()
        rows = [row[: size - end] for row, size, end in zip(tokens.tolist(), lengths, finished, strict=True)]
        logprob = total.tolist()
        scores = [value / size for value, size in zip(logprob, lengths, strict=True)]
        return _checked(Generated(rows, scores, logprob, finished))

    def beam(self, state: State, first: Tensor) -> Generated:
        """Beam search as Hugging Face's: of 2k candidates the k best that go on, and those of the k best
        that end, are kept; the best of all by log-probability / length ** length_penalty is the answer."""
        n, k, device = first.shape[0], self.options.beams, first.device
        rows = torch.arange(n * k, device=device)
        state = reorder(state, rows // k)
        last = first.repeat_interleave(k)
        tokens = first.new_empty((n * k, 0))
        running = torch.full((n, k), float("-inf"), device=device)
        running[:, 0] = 0.0  # the k rows are alike at first: one of them speaks
        best: list[_Hypothesis | None] = [None] * n
        done = [False] * n
        for size in range(1, self.options.max_tokens + 1):
            logprobs, state = self.step(state, last, tokens)
            # Of the 2k best candidates none is below the 2k best of its own row.
            values, token = logprobs.topk(min(2 * k, logprobs.shape[1]))  # (r, up to 2k), best first
            if values.isnan().any():  # which stand before all numbers
                raise ValueError(_NOT_NUMBERS)
            values = (running.view(-1, 1) + values).view(n, -1)
            values, where = values.topk(min(2 * k, values.shape[1]))  # (n, 2k), best first
            parent = where // token.shape[1] + rows[::k, None]
            token = token.view(n, -1).gather(1, where)
            ends = token == self.eos
            # Those of the k best candidates that stop here: at their end token, or all where room ends.
            stops = ends[:, :k] | (size == self.options.max_tokens)
            stops &= ~torch.isneginf(values[:, :k])
            for i, j in stops.nonzero().tolist():
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
            going = torch.where(ends, float("-inf"), values)
            running, chosen = going.topk(k)
            index = parent.gather(1, chosen).view(-1)
            last = token.gather(1, chosen).view(-1)
            leaders = running[:, 0].tolist()
            for i in range(n):
                done[i] = done[i] or self._settled(best[i], leaders[i], size)
            if all(done):
                break
            if not torch.equal(index, rows):
                state = reorder(state, index)
            tokens = torch.cat([tokens[index], last[:, None]], 1)
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
        """True when no running hypothesis (the likeliest has log-probability ``leader``) can still win.

        Log-probabilities only fall, so what a hypothesis of ``size`` tokens can reach is its present sum over
        the kindest of the lengths it may yet have.
        """
        if best is None:
            return False
        penalty = self.options.length_penalty
        lengths = (size + 1, max(size + 1, self.options.max_tokens))
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
