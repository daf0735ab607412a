"""GPT-2 behind a prefix, of graphs, as :mod:`inference.decoding.search` drives it.

Shapes: n rows, k prefix positions, t tokens, w the width of the model, h its heads.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from inference.captioners.encoder_decoder.graphs.caches import KeyValues
from inference.captioners.encoder_decoder.graphs.parts import HEAD, PLACES, START, STEP, Parts
from inference.decoding.decoder import Logits, Tokens
from inference.graphs.session import Array, Graph, GraphError

# us for which a thread waits awake. A token is a hundred products of a tenth of a millisecond, between which
# threads wait for each other: to fall asleep and be woken took a seventh of the time. That is no longer than
# what it saves, so other processes hardly miss it.
_AWAKE = 10
WORDS, POSITIONS = "decoder.gpt.transformer.wte.weight", "decoder.gpt.transformer.wpe.weight"


@dataclass(frozen=True, slots=True)
class PrefixState:
    """Dimension 0 is the batch in all of it."""

    places: Array  # (n,), int64: how many each row has seen
    cache: KeyValues
    pending: Array | None  # (n, w): fed at the next step in place of the token
    text_type: Array | None  # (n, w): added to every place of the text


class GptPrefixGraphs:
    """See :class:`inference.decoders.gpt_prefix.GptPrefixDecoder`, whose settings ``settings`` are."""

    def __init__(self, parts: Parts, settings: Any) -> None:
        self._settings = settings
        self._start = parts.graph(START)
        self._words = parts.rows(WORDS, settings["width"])
        self._positions = parts.rows(POSITIONS, settings["width"])
        self._step, self._head = _step_and_head(parts)
        self.vocabulary = len(self._words)

    def quicker(self, parts: Parts) -> Self:
        """It with the step and the head of these."""
        quick = copy(self)
        quick._step, quick._head = _step_and_head(parts)
        return quick

    def start(self, memory: tuple[Array, ...]) -> PrefixState:
        """See :class:`inference.decoding.decoder.Decoder`. ``memory``: an array for each layer that the
        mapper takes."""
        image = self._settings["image_token"]
        names = ["memory"] if len(memory) == 1 else [f"memory_{i}" for i in range(len(memory))]
        (prefix,) = self._start(**dict(zip(names, memory, strict=True)))
        if image is not None:
            marker = np.broadcast_to(self._words(np.array(image)), (len(prefix), 1, prefix.shape[2]))
            prefix = np.concatenate([marker, prefix], 1)
            prefix = prefix + marker if self._settings["token_types"] else prefix
        waits = image is None  # its last position stands where a start token would
        rows, now = len(prefix), prefix[:, : prefix.shape[1] - waits]
        width = self._settings["width"] // self._settings["heads"]
        cache = KeyValues.empty(rows, self._settings["layers"], self._settings["heads"], width)
        state = PrefixState(np.zeros(rows, np.int64), cache, None, None)
        if rows and now.shape[1]:
            _, state = self._run(state, now)
        return replace(state, pending=prefix[:, -1]) if waits else state

    def feed(self, state: PrefixState, tokens: Tokens, lengths: Tokens) -> PrefixState:
        """See :class:`inference.decoding.decoder.Prompted`: row by row, which are not equally long."""
        x, state = self._looked_up(state, tokens)
        own = [
            self._run(_row(state, i), x[i : i + 1, :length])[1] for i, length in enumerate(lengths.tolist())
        ]
        places = np.concatenate([row.places for row in own])
        return PrefixState(places, KeyValues.together([row.cache for row in own]), None, state.text_type)

    def step(self, state: PrefixState, tokens: Tokens) -> tuple[Logits, PrefixState]:
        """See :class:`inference.decoding.decoder.Decoder`."""
        x, state = self._looked_up(state, tokens[:, None])
        hidden, state = self._run(state, x)
        (logits,) = self._head(hidden=hidden[:, -1])
        return logits, state

    def read(self, state: PrefixState, tokens: Tokens) -> tuple[Logits, list[PrefixState]]:
        """See :class:`inference.decoding.drafting.Reader`."""
        x, before = self._looked_up(state, tokens)
        hidden, after = self._run(before, x)
        rows, count, width = hidden.shape
        (logits,) = self._head(hidden=hidden.reshape(-1, width))
        states = [
            replace(after, places=state.places + seen, cache=after.cache.before(count - seen))
            for seen in range(1, count + 1)
        ]
        return logits.reshape(rows, count, -1), states

    def room(self, state: PrefixState) -> int:
        """See :class:`inference.decoding.drafting.Reader`."""
        return len(self._positions) - int(state.places.max())

    def _looked_up(self, state: PrefixState, tokens: Tokens) -> tuple[Array, PrefixState]:
        """What is fed for tokens (n, t), which is (n, t, w), and the state that knows the text's type."""
        x, text_type = self._words(tokens), state.text_type
        if self._settings["token_types"]:
            text_type = x[:, 0] if text_type is None else text_type
            x = x + text_type[:, None]
        if state.pending is not None:
            x = np.concatenate([state.pending[:, None], x[:, 1:]], 1)
        return x, replace(state, text_type=text_type)

    def _run(self, state: PrefixState, x: Array) -> tuple[Array, PrefixState]:
        """``x`` (n, t, w) behind what each row has seen: their vectors (n, t, w), and the state."""
        places = state.places + x.shape[1]
        most = int(places.max())
        if most > len(self._positions):
            raise ValueError(
                f"The sentence and its prefix have {most} places, the language model has "
                f"{len(self._positions)}: lower max_tokens."
            )
        x = x + self._positions(state.places[:, None] + np.arange(x.shape[1]))
        cache = state.cache.grown(state.places, x.shape[1])
        hidden = cache.bound(self._step)(
            x=x, last=(places - 1).astype(np.int32), total=np.array(most, np.int32)
        )
        return hidden, replace(state, places=places, cache=cache, pending=None)


def _step_and_head(parts: Parts) -> tuple[Graph, Graph]:
    step, head = (parts.graph(name, awake=_AWAKE) for name in (STEP, HEAD))
    if step.outputs[0] != PLACES:
        raise GraphError("The graphs were exported by an older version: export them anew.")
    return step, head


def _row(state: PrefixState, number: int) -> PrefixState:
    """A row alone, which writes into a cache of its own."""
    index = np.array([number])
    return PrefixState(state.places[index], state.cache.reorder(index), None, None)
