"""The LSTM for packed sentences says what torch's says, and learns what torch's learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from inference.decoders.lstm import Lstm

WIDTH, HIDDEN = 6, 8


def twins(layers: int, dtype: torch.dtype = torch.float64) -> tuple[nn.LSTM, Lstm]:
    torch.manual_seed(layers)
    plain = nn.LSTM(WIDTH, HIDDEN, layers, batch_first=True, dtype=dtype)
    own = Lstm(WIDTH, HIDDEN, layers, batch_first=True, dtype=dtype)
    own.load_state_dict(plain.state_dict())
    return plain, own


def run(network: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], lengths: list[int]) -> list[Tensor]:
    """What it says and, of a loss that everything it says has a part in, all gradients."""
    x, *state = (part.clone().requires_grad_() for part in (x, *state))
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    tops, (hidden, cell) = network(packed, tuple(state))
    said = [pad_packed_sequence(tops, batch_first=True)[0], hidden, cell]
    network.zero_grad()
    sum((part.float() * torch.linspace(-1, 2, part.numel()).view_as(part)).sum() for part in said).backward()
    learned = [x.grad, *(part.grad for part in state), *(one.grad for one in network.parameters())]
    return [part.detach() for part in (*said, *learned) if part is not None]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [1, 4, 7, 2], [1, 1, 1, 1], [9, 1, 3, 9]])
def test_it_says_and_learns_what_torchs_does(layers: int, lengths: list[int]) -> None:
    plain, own = twins(layers)
    x = torch.randn(4, max(lengths), WIDTH, dtype=torch.float64)
    state = (torch.randn(layers, 4, HIDDEN, dtype=torch.float64), torch.randn(layers, 4, HIDDEN).double())
    expected, found = run(plain, x, state, lengths), run(own, x, state, lengths)
    assert len(found) == len(expected) == 6 + 4 * layers
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_in_16_bits_it_is_as_near_to_the_truth_as_torchs() -> None:
    plain, own = twins(2, torch.float32)
    x = torch.randn(6, 30, WIDTH)
    state = (torch.zeros(2, 6, HIDDEN), torch.zeros(2, 6, HIDDEN))
    truth = run(copy.deepcopy(plain), x, state, [30] * 6)

    def error(found: list[Tensor]) -> float:
        return max(
            float((one - other).norm() / other.norm()) for one, other in zip(found, truth, strict=True)
        )

    with torch.autocast("cpu", torch.bfloat16):
        short = run(own, x, state, [30] * 6)
    x, *state = (part.bfloat16() for part in (x, *state))
    theirs = run(plain.bfloat16(), x, tuple(state), [30] * 6)
    assert error(short) < 0.05
    assert error(short) < 1.2 * error(theirs)


def test_dropout_stands_between_the_layers_of_training_alone() -> None:
    torch.manual_seed(0)
    network = Lstm(WIDTH, HIDDEN, 2, batch_first=True, dropout=0.5)
    packed = pack_padded_sequence(torch.randn(3, 5, WIDTH), torch.tensor([5, 5, 2]), batch_first=True)
    state = (torch.zeros(2, 3, HIDDEN), torch.zeros(2, 3, HIDDEN))

    def said() -> Tensor:
        return network(packed, state)[0].data

    assert not torch.equal(said(), said())
    network.eval()
    assert torch.equal(said(), said())
    lone = Lstm(WIDTH, HIDDEN, 1, batch_first=True)
    state = (torch.zeros(1, 3, HIDDEN), torch.zeros(1, 3, HIDDEN))
    assert torch.equal(lone(packed, state)[0].data, lone(packed, state)[0].data)
