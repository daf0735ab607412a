"""Searching for a caption: greedy, beam and sampling, written once for every decoder.

A decoder is anything with ``start(memory) -> state`` and ``step(state, tokens) -> (logits, state)``: a torch
module, or another runtime's session behind the same two methods. Its state is a pytree (dict, list, tuple,
dataclass) of tensors whose dimension 0 is the batch, so that beams can be reordered without knowing it.

Shapes: n pictures, k beams, r = n * k rows (row ``i`` belongs to picture ``i // k``; k = 1 except in beam
search), V logits a row, t tokens generated so far.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from inference.common.types import DecodingOptions

State = Any
LogitsProcessor = Callable[[Tensor, Tensor], Tensor]
"""``(tokens, logits) -> logits``: the tokens generated so far (r, t), int64, without the start token (after
the end token a row holds padding), and the next token's logits (r, V). V may exceed the vocabulary:
pointer decoders append positions of what they may copy."""


class Decoder(Protocol):
    """What :func:`generate` drives."""

    def start(self, memory: Any) -> State:
        """The state before the first token, for the n pictures that ``memory`` holds."""

    def step(self, state: State, tokens: Tensor) -> tuple[Tensor, State]:
        """Logits (r, V) of what follows ``tokens`` (r,), int64, and the state after them."""


@runtime_checkable
class Prompted(Protocol):
    """A decoder that takes text before its sentence."""

    def feed(self, state: State, tokens: Tensor, lengths: Tensor) -> State:
        """The state after the first ``lengths`` (n,), at least 1, of each row of ``tokens`` (n, T), int64."""


@runtime_checkable
class Reorderable(Protocol):
    """A state that is no tensor (another runtime's value) and selects its own rows."""

    def reorder(self, index: Tensor) -> Any: ...


@dataclass(frozen=True, slots=True)
class Generated:
    """The best continuation found for each of n pictures."""

    tokens: list[list[int]]  # without the start and end tokens
    scores: list[float]  # logprobs / length ** length_penalty (beam), logprobs / length (greedy, sample)
    logprobs: list[float]  # natural logarithm of the probability of all tokens, end token included
    finished: list[bool]  # False where max_tokens cut the sentence before its end token


def reorder(state: State, index: Tensor) -> State:  # noqa: PLR0911 - one return a kind of leaf
    """The rows ``index`` (r,), int64, of every tensor of a state, in that order, with repetitions.

    Numbers, strings and None pass through. Raises TypeError on a leaf that has no rows to select.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, index.to(state.device))
    if state is None or isinstance(state, (int, float, str)):
        return state
    if isinstance(state, Reorderable):
        return state.reorder(index)
    if isinstance(state, dict):
        return {key: reorder(value, index) for key, value in state.items()}
    if isinstance(state, tuple):
        parts = [reorder(value, index) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if isinstance(state, list):
        return [reorder(value, index) for value in state]
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        rows = {
            part.name: reorder(getattr(state, part.name), index)
            for part in dataclasses.fields(state)
            if part.init
        }
        return dataclasses.replace(state, **rows)
    raise TypeError(
        f"A decoder's state may not hold {type(state).__name__}: give it a reorder(index) method."
    )


def _tensors(state: State) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, (tuple, list)):
        for value in state:
            yield from _tensors(value)
    elif dataclasses.is_dataclass(state) and not isinstance(state, type):
        for part in dataclasses.fields(state):
            yield from _tensors(getattr(state, part.name))


@dataclass(frozen=True, slots=True)
class MinTokens:
    """Forbids the end token until ``count`` tokens stand before it."""

    count: int
    eos: int

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        if tokens.shape[1] >= self.count:
            return logits
        return Forbid((self.eos,))(tokens, logits)


@dataclass(frozen=True, slots=True)
class Forbid:
    """Never says these tokens: their probability is spread over the others."""

    ids: tuple[int, ...]

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002 - the hook's signature
        return logits.index_fill(1, torch.tensor(self.ids, device=logits.device), float("-inf"))


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Lowers what was said already: positive logits are divided by ``penalty``, negative ones multiplied.

    Keskar et al. 2019, CTRL, section 4.1. A penalty below 1 rewards repetition.
    """

    penalty: float

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        said = logits.gather(1, tokens)
        said = torch.where(said > 0, said / self.penalty, said * self.penalty)
        return logits.scatter(1, tokens, said)


@dataclass(frozen=True, slots=True)
class NoRepeatNgram:
    """Forbids any token that would complete an n-gram of ``size`` tokens which the row already holds.

    Paulus et al. 2017, section 2.5 (there for trigrams).
    """

    size: int

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        said = tokens.shape[1]
        if said < self.size:
            return logits
        grams = tokens.unfold(1, self.size, 1)  # (n, t - size + 1, size)
        current = tokens[:, said - self.size + 1 :]  # (n, size - 1)
        repeats = (grams[:, :, :-1] == current[:, None, :]).all(-1)  # (n, t - size + 1)
        forbidden = torch.zeros_like(logits, dtype=torch.int32)
        forbidden.scatter_add_(1, grams[:, :, -1], repeats.int())
        return logits.masked_fill(forbidden > 0, float("-inf"))


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
    leaf = next(_tensors(state), None)
    if leaf is None:
        raise TypeError("A decoder's state must hold at least one tensor, whose dimension 0 is the batch.")
    n, device = leaf.shape[0], leaf.device
    if n == 0:
        return Generated([], [], [], [])
    search = _Search(decoder, options, eos, pad, (*processors, *_option_processors(options, eos)))
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
    choose = _argmax
    if options.strategy == "sample":
        choose = _Sampler(options, _seeds(options, seeds, n))
    return search.single(state, first, choose)


def _option_processors(options: DecodingOptions, eos: int) -> list[LogitsProcessor]:
    processors: list[LogitsProcessor] = []
    if options.repetition_penalty != 1:
        processors.append(RepetitionPenalty(options.repetition_penalty))
    if options.no_repeat_ngram:
        processors.append(NoRepeatNgram(options.no_repeat_ngram))
    if options.min_tokens:
        processors.append(MinTokens(options.min_tokens, eos))
    return processors


def _seeds(options: DecodingOptions, seeds: Sequence[int] | None, n: int) -> list[int]:
    if seeds is not None:
        if len(seeds) != n:
            raise ValueError(f"Give one seed for each of the {n} pictures, not {len(seeds)}.")
        return list(seeds)
    return [options.seed if options.seed is not None else secrets.randbits(63) for _ in range(n)]


def _argmax(logprobs: Tensor) -> Tensor:
    return logprobs.argmax(-1)


class _Sampler:
    """Draws one token a row from log-probabilities (n, V), each row by its own generator."""

    def __init__(self, options: DecodingOptions, seeds: Sequence[int]) -> None:
        self.options = options
        # On the CPU always: the same seed must draw the same caption on every device.
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logprobs: Tensor) -> Tensor:
        options = self.options
        scores = logprobs.double().cpu() / options.temperature
        if 0 < options.top_k < scores.shape[1]:
            least = scores.topk(options.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        if options.top_p < 1:
            ordered, order = scores.sort(descending=True, stable=True)
            mass = ordered.softmax(-1)
            outside = mass.cumsum(-1) - mass >= options.top_p  # the likeliest token is never outside
            scores = scores.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), float("-inf"))
        mass = scores.softmax(-1)
        draws = torch.cat([torch.rand(1, 1, dtype=torch.double, generator=g) for g in self.generators])
        cumulative = mass.cumsum(-1)
        token = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0]
        # A draw that rounds up to the whole mass would point behind the last token that has any.
        last = mass.shape[1] - 1 - (mass > 0).flip(1).int().argmax(-1)
        return torch.minimum(token, last).to(logprobs.device)


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
