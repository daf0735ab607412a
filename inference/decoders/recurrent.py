"""LSTM and GRU decoders, with every attention and every way of giving them the picture.

Shapes: n pictures, L tokens, V words, E an embedding, H a hidden state, N layers, p places of d numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.decoders.attention import Attention
from inference.decoders.base import IGNORED, CaptionDecoder, register
from inference.decoders.unrolling import advance, dropout, unroll
from inference.encoders.base import Memory

# The vocabulary is looked at for a multiple of so many tokens: oneDNN compiles a product of matrices anew for
# every shape it has not seen, and for 2,500 words that takes four times as long as the product.
_ROUND = 64


@dataclass(frozen=True, slots=True)
class RecurrentConfig:
    """Raises ValueError when the settings contradict each other."""

    vocabulary: int  # V
    picture: int  # d, the encoder's width
    embedding: int  # E
    hidden: int  # H
    cell: Literal["lstm", "gru"] = "lstm"
    layers: int = 1  # N
    dropout: float = 0.0  # between layers, and before the vocabulary
    picture_dropout: float = 0.0  # of the numbers of a picture that is fed as an input
    word_dropout: float = 0.0  # of whole words that are fed
    # The recurrent network's input; 0 = the embedding. Words are lifted to it when it differs.
    input: int = 0
    # Where the picture goes in, besides attention:
    #   first_input: as if it were a word before the sentence. The state after it meets the start token.
    #   instead_of_start: as the first word, and the start token is not fed.
    #   initial_state: as the first hidden (and cell) state, the same in every layer.
    #   nowhere: by attention alone; the state starts at zero.
    feed: Literal["first_input", "instead_of_start", "initial_state", "nowhere"] = "first_input"
    linear: bool = True  # a picture that is fed as an input is mapped to its width; False: it is as wide
    batchnorm: bool = False  # behind that
    state_activation: Literal["none", "sigmoid", "relu", "tanh"] = "none"
    attention: Literal["none", "additive", "soft", "dot"] = "none"
    attention_width: int = 512
    query: Literal["hidden", "hidden_and_cell"] = "hidden"
    gate: bool = False  # a sigmoid gate on what attention saw (Xu et al. 2015, section 4.2.1, f_beta)
    grid: int = 0  # the places are first mapped to this width through Linear and ReLU; 0 = as they are
    head: int = 0  # a layer of this width between the state and the vocabulary; 0 = none
    head_activation: Literal["none", "relu"] = "none"
    train_embedding: bool = True
    padding: int | None = None  # the row of the embedding that is zero and never learns

    def __post_init__(self) -> None:
        if self.attention == "none" and (self.gate or self.grid):
            raise ValueError(
                "gate and grid shape what attention sees: choose an attention, or leave them out."
            )
        if self.attention == "none" and self.feed == "nowhere":
            raise ValueError("A decoder without attention must be fed the picture: choose a feed.")
        if self.batchnorm and self.feed not in {"first_input", "instead_of_start"}:
            raise ValueError("batchnorm stands behind a picture that is fed as an input: choose such a feed.")
        if not self.linear and self.picture != (self.input or self.embedding):
            raise ValueError(
                f"A picture of {self.picture} numbers cannot be an input of "
                f"{self.input or self.embedding} as it is: leave linear out."
            )
        if self.query == "hidden_and_cell" and self.cell == "gru":
            raise ValueError("A GRU has no cell state: its attention is queried by 'hidden'.")


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """Dimension 0 is the batch in all of it."""

    hidden: Tensor  # (n, N, H)
    cell: Tensor | None  # (n, N, H) of an LSTM
    keys: Tensor | None = None  # (n, p, a), what attention compares with
    values: Tensor | None = None  # (n, p, d'), what it gives
    pending: Tensor | None = None  # (n, input): fed at the next step in place of the token


_ACTIVATIONS = {
    "none": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


@register("recurrent", RecurrentConfig)
class RecurrentDecoder(CaptionDecoder):
    """Takes a ``global`` memory (n, d) or a ``grid`` (n, p, d): what needs one vector takes its mean."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        entry = config.input or config.embedding
        seen = config.grid or config.picture
        self.embedding = nn.Embedding(config.vocabulary, config.embedding, padding_idx=config.padding)
        self.embedding.requires_grad_(config.train_embedding)
        self.lift: nn.Module = nn.Identity()
        if entry != config.embedding:
            self.lift = nn.Linear(config.embedding, entry)
        self.bridge = nn.Sequential()
        if config.feed in {"first_input", "instead_of_start"}:
            if config.linear:
                self.bridge.append(nn.Linear(config.picture, entry))
            if config.batchnorm:
                self.bridge.append(nn.BatchNorm1d(entry, momentum=0.01))
        elif config.feed == "initial_state":
            activation = _ACTIVATIONS[config.state_activation]
            self.initial_hidden = nn.Sequential(nn.Linear(config.picture, config.hidden), activation())
            if config.cell == "lstm":
                self.initial_cell = nn.Sequential(nn.Linear(config.picture, config.hidden), activation())
        self.attention: Attention | None = None
        if config.attention != "none":
            if config.grid:
                self.grid = nn.Sequential(nn.Linear(config.picture, config.grid), nn.ReLU())
            asked = config.hidden * (2 if config.query == "hidden_and_cell" else 1)
            self.attention = Attention(config.attention, seen, asked, config.attention_width)
            if config.gate:
                self.gate = nn.Linear(config.hidden, seen)
            entry += seen
        between = config.dropout if config.layers > 1 else 0.0
        network = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.rnn = network(entry, config.hidden, config.layers, batch_first=True, dropout=between)
        self.head: nn.Module = nn.Identity()
        if config.head:
            self.head = nn.Sequential(
                nn.Linear(config.hidden, config.head), _ACTIVATIONS[config.head_activation]()
            )
        self.output = nn.Linear(config.head or config.hidden, config.vocabulary)

    def load_vectors(self, vectors: Tensor) -> None:
        """Word vectors (V, E) from elsewhere, in the vocabulary's order. ValueError: another shape."""
        if vectors.shape != self.embedding.weight.shape:
            raise ValueError(
                f"The word vectors are {tuple(vectors.shape)}, "
                f"the decoder needs {tuple(self.embedding.weight.shape)} (words, width)."
            )
        with torch.no_grad():
            self.embedding.weight.copy_(vectors)

    def start(self, memory: Memory) -> RecurrentState:
        """``memory`` (n, d), or (n, p, d) which attention needs."""
        state = self.unfed(memory)
        if self.config.feed == "first_input" and state.pending is not None:
            return self._advance(state, state.pending)[1]
        return state

    def unfed(self, memory: Memory) -> RecurrentState:
        """Before the first input: where the picture is one, it is pending."""
        memory = _one(memory)
        config = self.config
        pooled = memory.mean(1) if memory.dim() == 3 else memory
        shape = (config.layers, len(pooled), config.hidden)
        hidden = pooled.new_zeros(shape)
        cell = pooled.new_zeros(shape) if config.cell == "lstm" else None
        if config.feed == "initial_state":
            hidden = self.initial_hidden(pooled).expand(shape)
            if cell is not None:
                cell = self.initial_cell(pooled).expand(shape)
        keys = values = None
        if self.attention is not None:
            if memory.dim() != 3:
                raise TypeError("Attention needs a grid (n, p, d): choose an encoder that yields one.")
            values = self.grid(memory) if config.grid else memory
            keys = self.attention.prepare(values)
        state = RecurrentState(
            hidden.transpose(0, 1), None if cell is None else cell.transpose(0, 1), keys, values
        )
        if config.feed in {"first_input", "instead_of_start"}:
            seen = dropout(pooled, config.picture_dropout, training=self.training)
            state = replace(state, pending=self.bridge(seen))
        return state

    def feed(self, state: RecurrentState, tokens: Tensor, lengths: Tensor) -> RecurrentState:
        """See :class:`CaptionDecoder`."""
        for t in range(tokens.shape[1]):
            x = state.pending if state.pending is not None else self.lift(self.embedding(tokens[:, t]))
            after = self._advance(state, x)[1]
            goes = (lengths > t)[:, None, None]
            hidden = torch.where(goes, after.hidden, state.hidden)
            cell = None
            if after.cell is not None and state.cell is not None:
                cell = torch.where(goes, after.cell, state.cell)
            state = replace(after, hidden=hidden, cell=cell)
        return state

    def seen(self, keys: Tensor, values: Tensor, hidden: Tensor, cell: Tensor | None) -> Tensor:
        """What attention gives (n, d') for the top layer's state (n, H). TypeError without attention."""
        if self.attention is None:
            raise TypeError("This decoder has no attention.")
        query = hidden
        if self.config.query == "hidden_and_cell" and cell is not None:
            query = torch.cat([hidden, cell], 1)
        context: Tensor = self.attention(keys, values, query)[0]
        return torch.sigmoid(self.gate(hidden)) * context if self.config.gate else context

    def _advance(self, state: RecurrentState, x: Tensor) -> tuple[Tensor, RecurrentState]:
        """One recurrent step on an input (n, input) to the top layer's hidden state (n, H)."""
        if state.keys is not None and state.values is not None:
            last = None if state.cell is None else state.cell[:, -1]
            x = torch.cat([x, self.seen(state.keys, state.values, state.hidden[:, -1], last)], 1)
        parts = [part for part in (state.hidden, state.cell) if part is not None]
        top, (hidden, *cell) = advance(self.rnn, x, tuple(parts))
        return top, replace(state, hidden=hidden, cell=cell[0] if cell else None, pending=None)

    def _logits(self, top: Tensor) -> Tensor:
        """(..., H) to (..., V)."""
        top = dropout(top, self.config.dropout, training=self.training)
        logits: Tensor = self.output(self.head(top))
        return logits

    def step(self, state: RecurrentState, tokens: Tensor) -> tuple[Tensor, RecurrentState]:
        """See :class:`CaptionDecoder`."""
        x = state.pending if state.pending is not None else self.lift(self.embedding(tokens))
        top, state = self._advance(state, x)
        return self._logits(top), state

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """See :class:`CaptionDecoder`."""
        return self._logits(self._tops(memory, tokens, [tokens.shape[1]] * len(tokens)))

    def token_losses(
        self, memory: Memory, tokens: Tensor, targets: Tensor, added: Tensor | None = None
    ) -> Tensor:
        """See :class:`CaptionDecoder`. Nothing is done behind a row's last target, and the vocabulary is
        looked at only where a target counts."""
        places = torch.arange(1, targets.shape[1] + 1, device=targets.device)
        # The longest first, while rows are numbers: vectors with gradients are slow to sort.
        lengths, order = ((targets != IGNORED) * places).amax(1).sort(descending=True)
        wanted = targets[order].flatten()
        counted = (wanted != IGNORED).nonzero()[:, 0]
        tops = self._tops(_one(memory)[order], tokens[order], lengths.tolist())
        more = (0, -len(counted) % _ROUND)
        chosen = functional.pad(counted, more)
        logits = self._logits(tops.flatten(0, 1).index_select(0, chosen))
        if added is not None:
            logits = logits + added[order].flatten(0, 1).index_select(0, chosen)
        sought = functional.pad(wanted.index_select(0, counted), more, value=IGNORED)
        losses = functional.cross_entropy(logits, sought, ignore_index=IGNORED, reduction="none")
        found = losses.new_zeros(targets.numel()).index_copy(0, counted, losses[: len(counted)])
        return found.view_as(targets)[order.argsort()]

    def _tops(self, memory: Memory, tokens: Tensor, lengths: list[int]) -> Tensor:
        """The top layer's hidden states (n, L, H), of each row's first ``lengths`` tokens at least."""
        x = self.embedding(tokens)
        kept = dropout(x.new_ones(*tokens.shape, 1), self.config.word_dropout, training=self.training)
        x = self.lift(x * kept)  # (n, L, input)
        if self.attention is None:
            state = self.unfed(memory)
            if state.pending is not None:
                words = x[:, 1:] if self.config.feed == "instead_of_start" else x
                x = torch.cat([state.pending[:, None], words], 1)
            more = x.shape[1] - tokens.shape[1]  # the picture, where it stands before the tokens
            parts = [part for part in (state.hidden, state.cell) if part is not None]
            began = tuple(part.transpose(0, 1).contiguous() for part in parts)
            return unroll(self.rnn, x, began, [own + more for own in lengths])[:, more:]
        state = self.start(memory)
        tops = []
        for t in range(x.shape[1]):
            fed = x[:, t] if state.pending is None else state.pending
            top, state = self._advance(state, fed)
            tops.append(top)
        return torch.stack(tops, 1)


def _one(memory: Memory) -> Tensor:
    if isinstance(memory, tuple):
        raise TypeError("A recurrent decoder takes one vector or a grid, not several layers.")
    return memory
