"""Sentences of unlike lengths through a recurrent network: torch's own results, with less work."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from inference.decoders import unrolling
from inference.decoders.unrolling import Span, advance, dropout, spans, unroll

LENGTHS = [[5], [7, 7, 7], [9, 9, 4, 2], [3, 1, 0], [0, 0], [80, 41, 40, 39, 3, 2, 1]]


def cost(found: list[Span], call: float) -> float:
    return sum((span.end - span.start) * span.rows + call for span in found)


def every_way(lengths: list[int], call: float) -> float:
    """The least cost, by trying all places where a row ends."""
    longest = max(lengths)
    inner = sorted({length for length in lengths if 0 < length < longest})
    costs = []
    for count in range(len(inner) + 1):
        for chosen in combinations(inner, count):
            ends = [0, *chosen, longest]
            found = [
                Span(start, end, sum(length > start for length in lengths)) for start, end in pairwise(ends)
            ]
            costs.append(cost(found, call) if longest else 0.0)
    return min(costs)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("call", [0, 1, 5, 100])
def test_the_spans_are_the_least_work(lengths: list[int], call: float) -> None:
    found = spans(lengths, call)
    assert [span.start for span in found] == [0, *(span.end for span in found)][: len(found)]
    assert (found[-1].end if found else 0) == max(lengths)
    for span in found:  # nobody is left behind before the end
        assert span.rows == sum(length > span.start for length in lengths)
    assert cost(found, call) == every_way(lengths, call)


def gradients(network: nn.Module, x: Tensor, tops: Tensor, counts: Tensor) -> list[Tensor]:
    network.zero_grad()
    weights = torch.linspace(1, 2, tops.numel()).view_as(tops)
    (tops * weights * counts[..., None]).sum().backward()
    found = [one.grad for one in (x, *network.parameters())]
    x.grad = None
    return [one.clone() for one in found if one is not None]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("call", [0, 100])
def test_hidden_states_and_gradients_are_those_of_packed_sequences(
    kind: type[nn.LSTM] | type[nn.GRU], lengths: list[int], call: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = kind(3, 4, 2, batch_first=True)
    # Two inputs behind the longest sentence, as of a batch with words that nobody learns.
    x = torch.randn(len(lengths), max(lengths) + 2, 3).requires_grad_()
    state = tuple(torch.randn(2, len(lengths), 4) for _ in range(2 if kind is nn.LSTM else 1))
    counts = torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
    monkeypatch.setattr(unrolling, "spans", lambda wanted: spans(wanted, call))
    tops = unroll(network, x, state, lengths)
    assert tops.shape == (len(lengths), x.shape[1], 4)
    own = gradients(network, x, tops, counts)
    # A packed sequence holds no empty sentence: torch sees one word of those, which do not count.
    packed = pack_padded_sequence(x, [max(n, 1) for n in lengths], batch_first=True)
    hidden = network(packed, state if kind is nn.LSTM else state[0])[0]
    expected = pad_packed_sequence(hidden, batch_first=True, total_length=x.shape[1])[0]
    torch.testing.assert_close(tops[counts], expected[counts])
    for one, other in zip(own, gradients(network, x, expected, counts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_longest_row_must_come_first() -> None:
    network, state = nn.GRU(3, 4), (torch.zeros(1, 3, 4),)
    with pytest.raises(ValueError, match=r"the lengths are \[5, 2, 3\]: sort the rows"):
        unroll(network, torch.zeros(3, 5, 3), state, [5, 2, 3])


def test_dropout_stands_between_the_layers_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    network = nn.LSTM(3, 6, 2, batch_first=True, dropout=0.5)
    x, lengths = torch.randn(4, 9, 3), [9, 9, 5, 2]
    state = (torch.zeros(2, 4, 6), torch.zeros(2, 4, 6))
    seen: list[Tensor] = []

    def watched(tops: Tensor, p: float, *, training: bool) -> Tensor:
        assert (p, training) == (0.5, True)
        seen.append(tops)
        return torch.zeros_like(tops)

    monkeypatch.setattr(unrolling, "dropout", watched)
    tops = unroll(network, x, state, lengths)
    first = nn.LSTM(3, 6, batch_first=True)
    first.load_state_dict({key: value for key, value in network.state_dict().items() if key.endswith("0")})
    torch.testing.assert_close(torch.cat(seen, 1)[:2], first(x[:2])[0])
    second = nn.LSTM(6, 6, batch_first=True)
    second.load_state_dict(
        {key.replace("1", "0"): one for key, one in network.state_dict().items() if key.endswith("1")}
    )
    torch.testing.assert_close(tops[:2], second(torch.zeros(2, 9, 6))[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9, 0.99999])
def test_dropout_is_torchs(p: float, dtype: torch.dtype) -> None:
    """Its scale, its share of zeros, and that places have nothing to do with one another."""
    torch.manual_seed(3)
    x = torch.full((401, 1003), 3.0, dtype=dtype, requires_grad=True)
    tops = dropout(x, p, training=True)
    assert tops.dtype == dtype
    kept = tops != 0
    expected = nn.functional.dropout(x, p)
    if bool(kept.any()) and bool((expected != 0).any()):
        torch.testing.assert_close(tops[kept][0], expected[expected != 0][0], rtol=0.01, atol=0)
    share = 1 - kept.double().mean()
    assert abs(share - p) < 4 * (p * (1 - p) / x.numel()) ** 0.5 + 2**-16
    tops.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept)
    if 0.05 <= p <= 0.95:
        neighbours = torch.stack([kept.flatten()[:-1], kept.flatten()[1:]]).double()
        assert abs(torch.corrcoef(neighbours)[0, 1]) < 0.01
        assert not torch.equal(dropout(x, p, training=True) != 0, kept)
        torch.manual_seed(3)
        assert torch.equal(dropout(x, p, training=True), tops)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_all(p: float) -> None:
    x = torch.randn(5, 7)
    assert torch.equal(dropout(x, p, training=True), x * (1 - p))
    assert torch.equal(dropout(x, 0.5, training=False), x)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_input_by_input_is_as_the_whole(kind: type[nn.LSTM] | type[nn.GRU]) -> None:
    torch.manual_seed(1)
    network = kind(3, 4, 2, batch_first=True)
    x = torch.randn(5, 6, 3).requires_grad_()
    state = tuple(torch.randn(5, 2, 4) for _ in range(2 if kind is nn.LSTM else 1))
    began = tuple(part.transpose(0, 1).contiguous() for part in state)
    tops = []
    for t in range(6):
        top, state = advance(network, x[:, t], state)
        tops.append(top)
    whole, ends = network(x, began if kind is nn.LSTM else began[0])
    torch.testing.assert_close(torch.stack(tops, 1), whole)
    for part, end in zip(state, ends if kind is nn.LSTM else (ends,), strict=True):
        torch.testing.assert_close(part.transpose(0, 1), end)
    counts = torch.ones(5, 6)
    own = gradients(network, x, torch.stack(tops, 1), counts)
    for one, other in zip(own, gradients(network, x, whole, counts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_dropout_stands_between_the_layers_of_one_input(kind: type[nn.LSTM] | type[nn.GRU]) -> None:
    network = kind(3, 4, 2, batch_first=True, dropout=0.5)
    x = torch.randn(5, 3)
    state = tuple(torch.randn(5, 2, 4) for _ in range(2 if kind is nn.LSTM else 1))
    top, (hidden, *_) = advance(network, x, state)
    again, (other, *_) = advance(network, x, state)
    assert torch.equal(hidden[:, 0], other[:, 0]) and not torch.equal(top, again)
    network.eval()
    assert torch.equal(advance(network, x, state)[0], advance(network, x, state)[0])
