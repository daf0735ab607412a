"""A recurrent network over whole sentences of unlike lengths, as training needs it, or over one more input.

On a processor, padding is work like any other, and torch draws a dropout's mask one Bernoulli variable at a
time: both together took a quarter of a step of the LSTM baselines. Packed sequences are no way out: torch has
no fast kernel for them there.

Shapes: n rows, L inputs of width d, N layers of H numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Span", "advance", "dropout", "spans", "unroll"]

# What a further call of the network costs, in rows times inputs: the weights' gradients are made once more.
_CALL = 100


def dropout(x: Tensor, p: float, *, training: bool) -> Tensor:
    """torch's, of any shape, in a fraction of its time on a processor: there a Bernoulli variable costs as
    much as drawing 64 bits, of which a number needs 8 or 16 (``p`` is rounded to a multiple of 2^-16)."""
    if not training or not 0 < p < 1 or x.device.type != "cpu":
        return functional.dropout(x, p, training)
    bits, kind = (8, torch.int8) if (p * 2**8).is_integer() else (16, torch.int16)
    drawn = torch.empty(-(-x.numel() * bits // 64), dtype=torch.int64).random_(-(2**63), None)
    numbers = drawn.view(kind)[: x.numel()].view(x.shape)
    least = min(round(p * 2**bits) - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    # Written as numbers at once: to turn truth values into numbers takes several times as long.
    kept = torch.ge(numbers, least, out=x.new_empty(x.shape))
    return x * kept.mul_(1 / (1 - p))


@dataclass(frozen=True, slots=True)
class Span:
    """Inputs that are run together: from ``start`` up to ``end``, of the ``rows`` longest sentences."""

    start: int
    end: int
    rows: int


def spans(lengths: Sequence[int], call: float = _CALL) -> list[Span]:
    """Where to stop and leave the rows behind that have ended, so that the least work is done.

    ``lengths``: inputs of each row; ``call``: what each span costs besides its rows times inputs. The spans
    follow one another from 0 to the longest length; they are the optimum, by dynamic programming.
    """
    ends = sorted({0, *lengths})
    rows = [sum(length > end for length in lengths) for end in ends]
    best: list[tuple[float, list[Span]]] = [(0.0, [])]
    for j in range(1, len(ends)):
        ways = ((cost + (ends[j] - ends[i]) * rows[i] + call, i) for i, (cost, _) in enumerate(best))
        cost, i = min(ways)
        best.append((cost, [*best[i][1], Span(ends[i], ends[j], rows[i])]))
    return best[-1][1]


def unroll(network: nn.LSTM | nn.GRU, x: Tensor, state: tuple[Tensor, ...], lengths: Sequence[int]) -> Tensor:
    """The top layer's hidden states (n, L, H). Those behind a row's first ``lengths`` inputs mean nothing.

    ``x`` (n, L, d), the longest row first, as ``lengths`` says (ValueError); ``state``: an LSTM's (hidden,
    cell) or a GRU's (hidden,), each (N, n, H).
    """
    lengths = [max(length, 1) for length in lengths]  # also rows of nothing have gradients, of zero
    if any(before < after for before, after in pairwise(lengths)):
        raise ValueError(f"The longest row must come first, but the lengths are {lengths}: sort the rows.")
    if x.device.type != "cpu":  # a GPU is quickest in one call
        return _whole(network, x, state)
    tops = []
    for span in spans(lengths):
        state = tuple(part[:, : span.rows].contiguous() for part in state)
        top, state = _by_layer(network, x[: span.rows, span.start : span.end], state)
        tops.append(functional.pad(top, (0, 0, 0, 0, 0, len(x) - span.rows)))
    tops.append(x.new_zeros(len(x), x.shape[1] - max(lengths), network.hidden_size))
    return torch.cat(tops, 1)


def advance(
    network: nn.LSTM | nn.GRU, x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The top layer's hidden state (n, H) after one more input ``x`` (n, d), and the next state.

    ``state``: an LSTM's (hidden, cell) or a GRU's (hidden,), each (n, N, H). By cells: for every call of a
    whole LSTM oneDNN lays its weights anew, which takes several times as long as the products of one input.
    """
    after: list[tuple[Tensor, ...]] = []
    for layer, weights in enumerate(network.all_weights):
        x = dropout(x, network.dropout, training=network.training) if layer else x
        before = [part[:, layer] for part in state]
        if isinstance(network, nn.LSTM):
            after.append(torch.lstm_cell(x, before, *weights))
        else:
            after.append((torch.gru_cell(x, before[0], *weights),))
        x = after[-1][0]
    return x, tuple(torch.stack(parts, 1) for parts in zip(*after, strict=True))


def _whole(network: nn.LSTM | nn.GRU, x: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    tops: Tensor = network(x, state if isinstance(network, nn.LSTM) else state[0])[0]
    return tops


def _by_layer(
    network: nn.LSTM | nn.GRU, x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer after the other, so that the dropout between them can be ours."""
    ends: list[list[Tensor]] = []
    for layer, weights in enumerate(network.all_weights):
        x = dropout(x, network.dropout, training=network.training) if layer else x
        began = tuple(part[layer : layer + 1] for part in state)
        w: list[Tensor] = list(weights)
        train, first = network.training, network.batch_first
        if isinstance(network, nn.LSTM):
            x, *end = torch.lstm(x, began, w, network.bias, 1, 0.0, train, False, first)
        else:
            x, *end = torch.gru(x, began[0], w, network.bias, 1, 0.0, train, False, first)
        ends.append(end)
    return x, tuple(torch.cat(parts) for parts in zip(*ends, strict=True))
