"""The parts of an encoder-decoder as modules that :func:`inference.graphs.export.export` writes as graphs.

Each holds the parts that it needs under the names that they have in the whole model, so that its graph names
the weights as model.safetensors does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.decoders.gpt_prefix import GptPrefixDecoder
from inference.decoders.recurrent import RecurrentDecoder

_RUNTIME = "com.microsoft"  # ONNX Runtime's own operators


class Sees(nn.Module):
    """Pixels to what the encoder yields."""

    def __init__(self, model: CaptionModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, pixels: Tensor) -> Any:
        """(n, 3, size, size), see :class:`inference.encoders.base.Encoder`."""
        return self.encoder(pixels)


class RecurrentStart(nn.Module):
    """A memory to the parts of :class:`inference.decoders.recurrent.RecurrentState` that are not None, before
    the first input."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, memory: Tensor) -> tuple[Tensor, ...]:
        """(n, d) or (n, p, d)."""
        state = self.decoder.unfed(memory)
        found = (getattr(state, name) for name in state.__slots__)
        # A copy: what is the memory itself would be an input and an output of one name.
        return tuple(part.clone() for part in found if part is not None)

    def names(self, memory: Tensor) -> list[str]:
        """Of what :meth:`forward` yields."""
        state = self.decoder.unfed(memory)
        return [name for name in state.__slots__ if getattr(state, name) is not None]


class RecurrentStep(nn.Module):
    """An input to the top layer's hidden state and the state after it.

    One step of each layer in plain products: the exporter would turn the weights over to what ONNX's own
    operators for whole sentences want, which holds them twice.
    """

    def __init__(self, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        x: Tensor,
        hidden: Tensor,
        cell: Tensor | None = None,
        keys: Tensor | None = None,
        values: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """``x`` (n, input), the others as in the state: (n, N, H), and (n, N, H) of an LSTM."""
        if keys is not None and values is not None:
            last = None if cell is None else cell[:, -1]
            x = torch.cat([x, self.decoder.seen(keys, values, hidden[:, -1], last)], 1)
        hiddens, cells = [], []
        for layer, weights in enumerate(self.decoder.rnn.all_weights):
            before = hidden[:, layer]
            if cell is None:
                x = _gru(x, before, weights)
            else:
                x, after = _lstm(x, before, cell[:, layer], weights)
                cells.append(after)
            hiddens.append(x)
        advanced = torch.stack(hiddens, 1)
        return (advanced,) if cell is None else (advanced, torch.stack(cells, 1))


def _lstm(x: Tensor, hidden: Tensor, cell: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """As torch.nn.LSTM, with its order of gates."""
    w, u, b, c = weights
    gates = functional.linear(x, w, b) + functional.linear(hidden, u, c)
    let_in, forget, new, out = gates.chunk(4, 1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


def _gru(x: Tensor, hidden: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """As torch.nn.GRU, with its order of gates."""
    w, u, b, c = weights
    given, kept = functional.linear(x, w, b).chunk(3, 1), functional.linear(hidden, u, c).chunk(3, 1)
    reset, update = torch.sigmoid(given[0] + kept[0]), torch.sigmoid(given[1] + kept[1])
    new = torch.tanh(given[2] + reset * kept[2])
    return new + update * (hidden - new)


class RecurrentHead(nn.Module):
    """The top layer's hidden state (n, H) to logits (n, V)."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, top: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.decoder.output(self.decoder.head(top))
        return logits


class RecurrentLift(nn.Module):
    """Words (n, E) to inputs (n, input), where these have widths of their own."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        lifted: Tensor = self.decoder.lift(x)
        return lifted


class Prefix(nn.Module):
    """A memory to the mapped picture (n, k, w)."""

    def __init__(self, decoder: GptPrefixDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, memory: Any) -> Tensor:
        """What the mapper takes; of several layers a list."""
        mapped: Tensor = self.decoder.mapper(tuple(memory) if isinstance(memory, list) else memory)
        return mapped


class GptStep(nn.Module):
    """Some more places to their vectors; keys and values are put behind those that were there.

    ONNX Runtime's attention writes into the same memory that it reads, where both are one.
    """

    def __init__(self, decoder: GptPrefixDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, last: Tensor, total: Tensor, kept: list[Tensor]) -> tuple[Tensor, ...]:
        """``x`` (n, t, w), positions added; ``last`` (n,), int32: the index of each row's last place;
        ``total`` (), int32: the most places of a row; ``kept``: keys and values of each layer, (n, h, room,
        w / h). To (n, t, w) and what is kept now."""
        model, heads = self.decoder.gpt.transformer, self.decoder.config.heads
        after: list[Tensor] = []
        for layer, block in enumerate(model.h):
            keys, values = kept[2 * layer : 2 * layer + 2]
            mixed, keys, values = torch.onnx.ops.symbolic_multi_out(
                f"{_RUNTIME}::GroupQueryAttention",
                (_affine(block.attn.c_attn, block.ln_1(x)), None, None, keys, values, last, total),
                {"num_heads": heads, "kv_num_heads": heads},
                dtypes=(x.dtype,) * 3,
                shapes=(x.shape, keys.shape, values.shape),
                version=1,
            )
            after += [keys, values]
            x = x + _affine(block.attn.c_proj, mixed)
            y = functional.gelu(_affine(block.mlp.c_fc, block.ln_2(x)), approximate="tanh")
            x = x + _affine(block.mlp.c_proj, y)
        return (model.ln_f(x), *after)


class GptHead(nn.Module):
    """Places' vectors (n, w) to logits (n, V)."""

    def __init__(self, decoder: GptPrefixDecoder) -> None:
        super().__init__()
        # The embedding alone: GPT-2's own output layer is another name of the same tensor.
        inner: Any = decoder.gpt.transformer.wte
        for name in ("wte", "transformer", "gpt"):
            outer = nn.Module()
            outer.add_module(name, inner)
            inner = outer
        self.decoder = inner

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        return functional.linear(hidden, self.decoder.gpt.transformer.wte.weight)


def _affine(layer: Any, x: Tensor) -> Tensor:
    """GPT-2's linear layer, whose weight (i, o) is kept transposed."""
    affine: Tensor = x @ layer.weight + layer.bias
    return affine
