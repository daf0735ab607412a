"""The transformer decoder beside torch's own, and its steps beside its forward pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from inference.decoders.base import build_decoder
from inference.decoders.transformer import TransformerConfig

WORDS, PICTURE, WIDTH, LAYERS, HEADS = 13, 10, 16, 3, 4
CONFIG = {
    "kind": "transformer",
    **{"vocabulary": WORDS, "picture": PICTURE, "width": WIDTH, "layers": LAYERS, "heads": HEADS},
    **{"inner": 24, "positions": 12},
}
assert_same = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


class Independent(nn.Module):
    """As a notebook would have it: torch's TransformerDecoder, and the paper's table of places in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.bridge = nn.Linear(PICTURE, WIDTH)
        layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 24, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, LAYERS)
        self.output = nn.Linear(WIDTH, WORDS)

    def forward(self, picture: Tensor, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        places = torch.zeros(length, WIDTH)
        for place in range(length):
            for i in range(0, WIDTH, 2):
                angle = torch.tensor(place / 10_000 ** (i / WIDTH))
                places[place, i], places[place, i + 1] = angle.sin(), angle.cos()
        words = self.embedding(tokens) * WIDTH**0.5 + places
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        said = self.decoder(words, self.bridge(picture), tgt_mask=mask, tgt_is_causal=True)
        logits: Tensor = self.output(said)
        return logits


def drawn() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(3, 7, PICTURE, generator=generator),
        torch.randint(WORDS, (3, 9), generator=generator),
    )


@torch.no_grad()
def test_it_computes_what_torch_does_over_the_same_weights() -> None:
    torch.manual_seed(0)
    original = Independent().eval()
    for parameter in original.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = build_decoder(CONFIG).eval()
    state = {name.removeprefix("decoder."): value for name, value in original.state_dict().items()}
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["waves"], [])
    picture, tokens = drawn()
    expected = original(picture, tokens)
    assert expected.std() > 1
    assert_same(ours(picture, tokens), expected)


@torch.no_grad()
def test_steps_say_what_forward_says_also_behind_texts_of_unlike_lengths() -> None:
    torch.manual_seed(0)
    decoder = build_decoder(CONFIG).eval()
    picture, tokens = drawn()
    whole = decoder(picture, tokens)
    state = decoder.start(picture)
    for t in range(tokens.shape[1]):
        logits, state = decoder.step(state, tokens[:, t])
        assert_same(logits, whole[:, t])
    lengths = torch.tensor([2, 4, 3])
    state = decoder.feed(decoder.start(picture), tokens[:, :4], lengths)
    for t in range(3):
        logits, state = decoder.step(state, tokens[torch.arange(3), lengths + t])
        assert_same(logits, whole[torch.arange(3), lengths + t])
    even = decoder.feed(decoder.start(picture), tokens[:, :4], torch.tensor([4, 4, 4]))
    assert_same(decoder.step(even, tokens[:, 4])[0], whole[:, 4])


@torch.no_grad()
def test_one_vector_is_the_only_place_and_layers_are_refused() -> None:
    decoder = build_decoder(CONFIG).eval()
    picture, tokens = drawn()
    torch.testing.assert_close(decoder(picture[:, 0], tokens), decoder(picture[:, :1], tokens))
    with pytest.raises(TypeError, match="takes one vector or a grid"):
        decoder.start((picture[:, 0], picture[:, 1]))


def test_what_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="The width 20 is no even number for each of 4 heads"):
        TransformerConfig(vocabulary=3, picture=4, width=20, heads=4)
    decoder = build_decoder(CONFIG)
    assert decoder.places(7) == 12
    with pytest.raises(ValueError, match="The sentence has 13 places, the decoder has 12: lower max_tokens"):
        decoder(torch.zeros(1, 7, PICTURE), torch.zeros(1, 13, dtype=torch.long))
