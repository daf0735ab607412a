"""A torch module behind the search: numpy's arrays in and out, tensors in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inference.decoders.base import CaptionDecoder, build_decoder
from inference.decoders.torch_decoder import TorchDecoder, TorchState
from inference.decoding.decoder import rows_of

KINDS: dict[str, dict[str, object]] = {
    "recurrent": {"vocabulary": 11, "picture": 6, "embedding": 5, "hidden": 7},
    "gpt_prefix": {"vocabulary": 11, "pictures": [6], "prefix": 3, "width": 8, "layers": 2, "heads": 2},
    "transformer": {"vocabulary": 11, "picture": 6, "width": 8, "layers": 2, "heads": 2, "inner": 16},
}


def decoder_of(kind: str) -> CaptionDecoder:
    torch.manual_seed(0)
    decoder = build_decoder({"kind": kind, **KINDS[kind]}).eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_fed_stepped_and_reordered_as_the_module_does_it(kind: str) -> None:
    module, memory = decoder_of(kind), torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    decoder = TorchDecoder(module)
    state = decoder.start(memory)
    assert rows_of(state) == 2
    state = decoder.feed(state, np.array([[1, 4, 5], [1, 6, 0]]), np.array([3, 2]))
    state = state.reorder(np.array([1, 0, 1]))
    assert rows_of(state) == 3
    logits, _ = decoder.step(state, np.array([7, 8, 9]))
    assert logits.dtype == np.float32
    with torch.no_grad():
        for row, (picture, said) in zip(
            logits, ((1, [1, 6, 7]), (0, [1, 4, 5, 8]), (1, [1, 6, 9])), strict=True
        ):
            whole = module(memory[picture : picture + 1], torch.tensor([said]))
            np.testing.assert_allclose(row, whole[0, -1].numpy(), atol=1e-5, rtol=1e-5)


def test_half_precision_is_widened_for_the_search() -> None:
    module = decoder_of("recurrent").bfloat16()
    decoder = TorchDecoder(module)
    logits, _ = decoder.step(decoder.start(torch.randn(2, 6).bfloat16()), np.array([1, 2]))
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_what_cannot_be_reordered_is_refused() -> None:
    with pytest.raises(TypeError, match="may not hold ndarray"):
        TorchState({"kept": np.zeros(2)}).reorder(np.array([0]))
