"""Keys and values that grow in place, and are what they were for whoever holds a state."""

from __future__ import annotations

import torch
from torch import Tensor

from inference.decoders.caches import KeyValues

N, LAYERS, HEADS, WIDTH = 3, 2, 2, 5


def grow(cache: KeyValues, new: Tensor) -> KeyValues:
    """With ``new`` (n, layers, 2, heads, t, width) behind it."""
    cache = cache.grown(new.shape[4])
    for layer in range(LAYERS):
        keys, values = cache.put(layer, new[:, layer])
        assert torch.equal(keys[:, :, -new.shape[4] :], new[:, layer, 0])
        assert torch.equal(values[:, :, -new.shape[4] :], new[:, layer, 1])
    return cache


def held(cache: KeyValues) -> Tensor:
    return cache.stored[..., : cache.length, :].clone()


def test_a_state_stays_what_it_was_whoever_goes_on_from_it() -> None:
    torch.manual_seed(0)
    pieces = [torch.randn(N, LAYERS, 2, HEADS, t, WIDTH) for t in (4, *[1] * 70)]
    empty = KeyValues.empty(torch.empty(N, 4, HEADS * WIDTH), LAYERS, HEADS)
    states, expected = [grow(empty, pieces[0])], [pieces[0]]
    for piece in pieces[1:]:
        states.append(grow(states[-1], piece))
        expected.append(torch.cat([expected[-1], piece], 4))
    # Most steps wrote into room that was there.
    assert len({state.stored.data_ptr() for state in states}) < 6
    other = torch.randn(N, LAYERS, 2, HEADS, 1, WIDTH)
    for i in (0, 30, 69):
        branch = grow(states[i], other)
        assert torch.equal(held(branch), torch.cat([expected[i], other], 4))
    for state, whole in zip(states, expected, strict=True):
        assert torch.equal(held(state), whole)


def test_rows_are_selected_with_repetitions_and_grow_apart() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(N, LAYERS, 2, HEADS, 4, WIDTH), torch.randn(4, LAYERS, 2, HEADS, 1, WIDTH)
    state = grow(KeyValues.empty(torch.empty(N, 4, HEADS * WIDTH), LAYERS, HEADS), first)
    index = torch.tensor([2, 0, 0, 1])
    chosen = grow(state.reorder(index), second)
    assert torch.equal(held(chosen), torch.cat([first[index], second], 4))
    assert torch.equal(held(state), first)
