"""The shipped model's language model in numpy: a small GPT whose prefix is the picture, and slots that copy a
line.

The plan of ClipCap (Mokady et al. 2021, arXiv:2111.09734): a prefix of vectors made from the picture, then a
GPT (pre-norm transformer, tied output). The prefix here is one vector for each of the likeliest concepts of
the picture (as You et al. 2016, arXiv:1603.03925, feed detected words to the decoder), one for its layout and
one for each line read; the output distribution is extended by one entry a line, a pointer (Vinyals et al.
2015, arXiv:1506.03134) over the last layer's vectors of the lines. Prefix positions see one another both
ways, words see the prefix and the words before them.

It learns in PyTorch (``train_scripts/meme_small/networks.py``). A step of so few numbers takes a third of
the time here, and no size of a checkpoint (its words, concepts, layers) is written into a graph.

Shapes: n pictures, r rows (k of each picture, one after the other), p places of the prefix, m lines, t tokens
so far, W the width, h heads of d numbers each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.captioners.meme_small.memory import Array, SlotMemory, SlotPrefixConfig
from inference.decoding.decoder import Reorderable
from inference.decoding.distributions import softmax

__all__ = ["SlotPrefixDecoder", "SlotState"]

_EPSILON = 1e-5  # of torch's LayerNorm
_ROOM = 32  # places for words that are made free at a time
_SURE = 1e-4  # probabilities are told no closer to 0 and 1


@dataclass(frozen=True, slots=True)
class SlotState(Reorderable):
    """After t tokens. The prefix is that of a picture, shared by its rows; the words' are each row's own.

    New words are put into room that ``words`` has left. So a state that was stepped from must not be stepped
    from again, which no search does: rows that go two ways are copied by :meth:`reorder`.
    """

    prefix: tuple[Array, Array]  # (layers, n, h, d, p) keys and (layers, n, h, p, d) values
    masked: Array  # (n, 1, 1, p): -inf at places where the prefix has nothing, else 0
    lines: Array  # (n, m, W), as they stand in the prefix
    keys: Array  # (n, m, W), what slots are compared with
    absent: Array  # (n, 1, m): -inf where there is no line, else 0
    words: tuple[Array, Array]  # (r, layers, h, room, d) keys and values
    length: int  # t

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return len(self.words[0])

    def reorder(self, index: Array) -> SlotState:
        """See :class:`inference.decoding.decoder.Reorderable`; ``index`` leaves each picture its rows."""
        rows, room = len(index), self.words[0].shape[3]
        if self.length == 0:
            empty = np.empty((rows, *self.words[0].shape[1:]), np.float32)
            return replace(self, words=(empty, np.empty_like(empty)))
        chosen = []
        for stored in self.words:
            whole = np.empty((rows, *stored.shape[1:3], room, stored.shape[4]), np.float32)
            whole[:, :, :, : self.length] = stored[index, :, :, : self.length]
            chosen.append(whole)
        return replace(self, words=(chosen[0], chosen[1]))


class SlotPrefixDecoder:
    """``start`` and ``step``, as :func:`inference.decoding.search.generate` drives them.

    Logits have ``vocabulary + m`` entries: the words, then the m lines of the picture (-inf where there is
    none). ``word_concepts`` (vocabulary,): the concept that each word names, negative where none.
    ``weights``: of the checkpoint's tensors, by the names under ``decoder.``.

    Raises KeyError when a tensor is missing, ValueError when one is not of the config's sizes.
    """

    def __init__(
        self, config: SlotPrefixConfig, weights: Mapping[str, Array], word_concepts: Sequence[int]
    ) -> None:
        self.config = config
        width = config.width
        self._words = _of(weights, "words.weight", config.vocabulary, width)
        self._saying = np.ascontiguousarray(self._words.T)
        self._places = _of(weights, "places.weight", config.max_tokens, width)
        self._probability = _Linear(weights, "probability", 3, width)
        self._layout = _Linear(weights, "layout", None, width)
        self._lines = _Linear(weights, "lines", None, width)
        self._line_places = _of(weights, "line_places.weight", config.max_lines, width)
        self._line_words = _Linear(weights, "line_words", width, width)
        self._slot = _of(weights, "slot", width)
        self._blocks = [_Block(weights, f"blocks.{number}.", config) for number in range(config.layers)]
        self._norm = _Norm(weights, "norm", width)
        self._query = _Linear(weights, "pointer_query", width, width)
        self._key = None if config.copying == "slots" else _Linear(weights, "pointer_key", width, width)
        if self._key is None:
            self._slots = _of(weights, "pointer_key.weight", config.max_lines, width)
        concepts = _of(weights, "concepts.weight", config.concepts, width)
        self._concepts = concepts + _means(self._words, word_concepts, config.concepts)

    def start(self, memory: SlotMemory[Array]) -> SlotState:
        """Runs the prefix, both ways, once."""
        n, m = memory.line_mask.shape
        lines = self._line_vectors(memory)
        x = np.concatenate((self._shown(memory), self._layout(memory.layout)[:, None], lines), axis=1)
        p = x.shape[1]
        there = np.concatenate((np.ones((n, p - m), bool), memory.line_mask), axis=1)
        # A place that has nothing sees itself: a row without any would be no number.
        seen = there[:, None, None, :] | np.eye(p, dtype=bool)
        mask = np.where(seen, np.float32(0), np.float32(-np.inf))
        keys, values = [], []
        for block in self._blocks:
            q, k, v = block.parts(x)  # (n, p, h, d) each
            key, value = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)
            attended = softmax(q.transpose(0, 2, 1, 3) @ key * block.scale + mask) @ value
            x = block.after(x, attended.transpose(0, 2, 1, 3).reshape(x.shape))
            keys.append(np.ascontiguousarray(key))
            values.append(np.ascontiguousarray(value))
        last = self._norm(x)[:, p - m :]
        slots = self._key(last) if self._key is not None else np.broadcast_to(self._slots[:m], last.shape)
        config = self.config
        room = (n, config.layers, config.heads, _ROOM, config.width // config.heads)
        return SlotState(
            (np.stack(keys), np.stack(values)),
            np.where(there, np.float32(0), np.float32(-np.inf))[:, None, None],
            lines,
            slots,
            np.where(memory.line_mask, np.float32(0), np.float32(-np.inf))[:, None],
            (np.empty(room, np.float32), np.empty(room, np.float32)),
            0,
        )

    def step(self, state: SlotState, tokens: Array) -> tuple[Array, SlotState]:
        """``tokens`` (r,) -> logits (r, vocabulary + m), float32, and the state after them."""
        config, n, t = self.config, len(state.lines), state.length
        rows = len(tokens)
        k, heads, d = rows // n, config.heads, config.width // config.heads
        words = state.words
        if t == words[0].shape[3]:
            words = _roomier(words[0]), _roomier(words[1])
        x = self._embedded(tokens, state)
        for layer, block in enumerate(self._blocks):
            q, key, value = block.parts(x)  # (r, h, d) each
            words[0][:, layer, :, t], words[1][:, layer, :, t] = key, value
            own_keys, own_values = (stored[:, layer, :, : t + 1] for stored in words)
            grouped = q.reshape(n, k, heads, d).transpose(0, 2, 1, 3)
            before = grouped @ state.prefix[0][layer] * block.scale + state.masked  # (n, h, k, p)
            among = (own_keys @ q[..., None])[..., 0] * block.scale  # (r, h, t + 1)
            before = before.transpose(0, 2, 1, 3).reshape(rows, heads, -1)
            p = before.shape[2]
            weights = softmax(np.concatenate((before, among), axis=2))
            of_prefix = weights[..., :p].reshape(n, k, heads, p).transpose(0, 2, 1, 3)
            attended = (of_prefix @ state.prefix[1][layer]).transpose(0, 2, 1, 3).reshape(rows, heads, d)
            attended = attended + (weights[:, :, None, p:] @ own_values)[:, :, 0]
            x = block.after(x, attended.reshape(rows, -1))
        hidden = self._norm(x)
        asked = self._query(hidden).reshape(n, k, -1)
        pointers = asked @ state.keys.transpose(0, 2, 1) / math.sqrt(config.width) + state.absent
        logits = np.concatenate((hidden @ self._saying, pointers.reshape(rows, -1)), axis=1)
        return logits, replace(state, words=words, length=t + 1)

    def _embedded(self, tokens: Array, state: SlotState) -> Array:
        """(r, W): a slot is its line's own vector."""
        vocabulary = self.config.vocabulary
        x: Array = self._words[np.minimum(tokens, vocabulary - 1)] + self._places[state.length]
        copied = np.flatnonzero(tokens >= vocabulary)
        if len(copied):
            picture = copied // (len(tokens) // len(state.lines))
            lines = state.lines[picture, tokens[copied] - vocabulary]
            x[copied] = lines + self._slot + self._places[state.length]
        return x

    def _line_vectors(self, memory: SlotMemory[Array]) -> Array:
        """(n, m, W)"""
        present = (memory.line_words > 0).astype(np.float32)
        words = (self._words[memory.line_words] * present[..., None]).sum(2)
        words /= np.maximum(present.sum(2), 1)[..., None]
        m = memory.line_mask.shape[1]
        vectors: Array = self._lines(memory.line_features) + self._line_words(words) + self._line_places[:m]
        return vectors

    def _shown(self, memory: SlotMemory[Array]) -> Array:
        """(n, shown, W): a vector for each of the likeliest concepts."""
        p = memory.probabilities.clip(_SURE, 1 - _SURE)
        odds = np.log(p / (1 - p))
        sure = self._probability(np.stack((p, odds / 4, np.sqrt(p)), axis=-1))
        return self._concepts[memory.concepts] + sure


class _Linear:
    """``inputs`` None: as many as the tensor has."""

    def __init__(self, weights: Mapping[str, Array], name: str, inputs: int | None, outputs: int) -> None:
        weight = weights[f"{name}.weight"]
        # Turned over once: a few rows times a matrix that lies the other way take several times as long.
        self.weight = np.ascontiguousarray(
            _of(weights, f"{name}.weight", outputs, inputs or weight.shape[-1]).T
        )
        self.bias = _of(weights, f"{name}.bias", outputs)

    def __call__(self, x: Array) -> Array:
        """(..., inputs) -> (..., outputs)"""
        y: Array = x @ self.weight
        y += self.bias
        return y


class _Norm:
    """Ba et al. 2016, arXiv:1607.06450."""

    def __init__(self, weights: Mapping[str, Array], name: str, width: int) -> None:
        self.weight = _of(weights, f"{name}.weight", width)
        self.bias = _of(weights, f"{name}.bias", width)
        self._share = np.float32(1 / width)

    def __call__(self, x: Array) -> Array:
        # By the reductions themselves: of so few numbers ``mean`` takes twice as long.
        centred: Array = x - np.add.reduce(x, -1, keepdims=True) * self._share
        variance = np.add.reduce(np.square(centred), -1, keepdims=True) * self._share
        centred /= np.sqrt(variance + _EPSILON)
        centred *= self.weight
        centred += self.bias
        return centred


class _Block:
    """A layer of the transformer but for the attention itself, which prefix and words make differently."""

    def __init__(self, weights: Mapping[str, Array], prefix: str, config: SlotPrefixConfig) -> None:
        width = config.width
        self._heads = config.heads
        self.scale = np.float32(1 / math.sqrt(width // config.heads))
        self._norm_1 = _Norm(weights, f"{prefix}norm_1", width)
        self._qkv = _Linear(weights, f"{prefix}attention.qkv", width, 3 * width)
        self._out = _Linear(weights, f"{prefix}attention.out", width, width)
        self._norm_2 = _Norm(weights, f"{prefix}norm_2", width)
        self._widen = _Linear(weights, f"{prefix}mlp.0", width, 4 * width)
        self._narrow = _Linear(weights, f"{prefix}mlp.2", 4 * width, width)

    def parts(self, x: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values (..., h, d) of (..., W)."""
        qkv = self._qkv(self._norm_1(x))
        qkv = qkv.reshape(*x.shape[:-1], 3, self._heads, -1)
        return qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :]

    def after(self, x: Array, attended: Array) -> Array:
        """(..., W) and what attention gave for it, alike, to the next layer's."""
        x = x + self._out(attended)
        return x + self._narrow(_gelu(self._widen(self._norm_2(x))))


# The error function to 1.5e-7, which is what 32 bits hold of it (Abramowitz and Stegun 1964, 7.1.26): numpy
# has none, and SciPy is too large for one formula.
_P = np.float32(0.3275911 * math.sqrt(0.5))
_A = np.array([1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592], np.float32)


def _gelu(x: Array) -> Array:
    """Hendrycks and Gimpel 2016, arXiv:1606.08415: x times the normal distribution's function of it."""
    t = 1 / (1 + _P * np.abs(x))
    series = _A[0] * t
    for a in _A[1:]:
        series += a
        series *= t
    # Half of what the tail beyond |x| has, which is taken from the whole or is all there is.
    series *= np.exp(np.square(x) * np.float32(-0.5)) * np.float32(0.5)
    y: Array = x * np.where(x < 0, series, 1 - series)
    return y


def _means(words: Array, word_concepts: Sequence[int], concepts: int) -> Array:
    """(concepts, W): the mean of the vectors of the words that name each, 0 where none does. A concept's
    vector in the prefix starts from it, so that what is seen is close to how it is said."""
    sums, counts = np.zeros((concepts, words.shape[1]), np.float32), np.zeros((concepts, 1), np.float32)
    for word, concept in enumerate(word_concepts):
        # Word 0 is the padding, which names nothing.
        if word and concept >= 0:
            sums[concept] += words[word]
            counts[concept] += 1
    return sums / np.maximum(counts, 1)


def _roomier(stored: Array) -> Array:
    """(r, layers, h, room, d) with more room."""
    more = np.empty((*stored.shape[:3], _ROOM, stored.shape[4]), np.float32)
    return np.concatenate((stored, more), axis=3)


def _of(weights: Mapping[str, Array], name: str, *shape: int) -> Array:
    """The named tensor in float32. Raises KeyError, and ValueError when it has another shape."""
    found = weights[name]
    if found.shape != shape:
        raise ValueError(f"{name} has the shape {found.shape} instead of {shape}.")
    return np.ascontiguousarray(found, np.float32)
