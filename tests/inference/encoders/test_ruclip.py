"""ruCLIP against an independent forward pass written from formulas, on the original's key names."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from inference.encoders.base import build_encoder
from inference.encoders.ruclip import BOS, EOS, PAD, RuClip, RuClipConfig

SMALL = RuClipConfig(
    embed_dim=24,
    image_resolution=32,
    vision_layers=2,
    vision_width=128,
    vision_patch_size=8,
    context_length=10,
    vocab_size=50,
    transformer_width=32,
    transformer_heads=4,
    transformer_layers=3,
)
State = dict[str, Tensor]


def original_state(config: RuClipConfig) -> State:
    """Random weights under the documented names of the original's pytorch_model.bin."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    state: State = {}

    def tower(prefix: str, width: int, layers: int) -> None:
        for i in range(layers):
            block = f"{prefix}transformer.resblocks.{i}."
            state[block + "attn.in_proj_weight"] = draw(3 * width, width)
            state[block + "attn.in_proj_bias"] = draw(3 * width)
            state[block + "attn.out_proj.weight"] = draw(width, width)
            state[block + "attn.out_proj.bias"] = draw(width)
            for norm in ("ln_1", "ln_2"):
                state[block + norm + ".weight"] = 1 + draw(width)
                state[block + norm + ".bias"] = draw(width)
            state[block + "mlp.c_fc.weight"] = draw(4 * width, width)
            state[block + "mlp.c_fc.bias"] = draw(4 * width)
            state[block + "mlp.c_proj.weight"] = draw(width, 4 * width)
            state[block + "mlp.c_proj.bias"] = draw(width)

    width, text = config.vision_width, config.transformer_width
    places = (config.image_resolution // config.vision_patch_size) ** 2
    state["visual.class_embedding"] = draw(width)
    state["visual.positional_embedding"] = draw(places + 1, width)
    state["visual.proj"] = draw(width, config.embed_dim)
    state["visual.conv1.weight"] = draw(width, 3, config.vision_patch_size, config.vision_patch_size)
    for norm in ("visual.ln_pre", "visual.ln_post"):
        state[norm + ".weight"] = 1 + draw(width)
        state[norm + ".bias"] = draw(width)
    tower("visual.", width, config.vision_layers)
    state["positional_embedding"] = draw(config.context_length, text)
    state["text_projection"] = draw(text, config.embed_dim)
    state["logit_scale"] = torch.tensor(2.5)
    state["token_embedding.weight"] = draw(config.vocab_size, text)
    state["ln_final.weight"] = 1 + draw(text)
    state["ln_final.bias"] = draw(text)
    tower("", text, config.transformer_layers)
    return state


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + 1e-5) * state[name + ".weight"] + state[name + ".bias"]


def blocks(x: Tensor, state: State, prefix: str, *, layers: int, heads: int, causal: bool) -> Tensor:
    """(t, width) to (t, width): one picture or text at a time, one head at a time."""
    size, width = x.shape
    each = width // heads
    for i in range(layers):
        name = f"{prefix}transformer.resblocks.{i}."
        y = norm(x, state, name + "ln_1")
        q, k, v = (y @ state[name + "attn.in_proj_weight"].T + state[name + "attn.in_proj_bias"]).split(
            width, 1
        )
        outputs = []
        for head in range(heads):
            part = slice(head * each, (head + 1) * each)
            scores = q[:, part] @ k[:, part].T / math.sqrt(each)
            if causal:
                for row in range(size):
                    scores[row, row + 1 :] = float("-inf")
            outputs.append(scores.softmax(1) @ v[:, part])
        attended = torch.cat(outputs, 1)
        x = x + attended @ state[name + "attn.out_proj.weight"].T + state[name + "attn.out_proj.bias"]
        y = norm(x, state, name + "ln_2") @ state[name + "mlp.c_fc.weight"].T + state[name + "mlp.c_fc.bias"]
        y = y / (1 + torch.exp(-1.702 * y))
        x = x + y @ state[name + "mlp.c_proj.weight"].T + state[name + "mlp.c_proj.bias"]
    return x


def image_features(state: State, config: RuClipConfig, picture: Tensor) -> Tensor:
    patch = config.vision_patch_size
    side = config.image_resolution // patch
    kernel = state["visual.conv1.weight"].flatten(1)
    rows = [state["visual.class_embedding"]]
    for top in range(0, side * patch, patch):
        for left in range(0, side * patch, patch):
            cut = picture[:, top : top + patch, left : left + patch]
            rows.append(kernel @ cut.flatten())
    x = norm(torch.stack(rows) + state["visual.positional_embedding"], state, "visual.ln_pre")
    x = blocks(
        x, state, "visual.", layers=config.vision_layers, heads=config.vision_width // 64, causal=False
    )
    return norm(x[0], state, "visual.ln_post") @ state["visual.proj"]


def text_features(state: State, config: RuClipConfig, tokens: list[int]) -> Tensor:
    x = torch.stack([state["token_embedding.weight"][token] for token in tokens])
    x = x + state["positional_embedding"][: len(tokens)]
    x = blocks(x, state, "", layers=config.transformer_layers, heads=config.transformer_heads, causal=True)
    return norm(x[tokens.index(EOS)], state, "ln_final") @ state["text_projection"]


@pytest.fixture
def clip() -> RuClip:
    model = RuClip(SMALL).eval()
    model.load_state_dict(original_state(SMALL))
    return model


TEXTS = torch.tensor(
    [
        [BOS, 7, 8, 9, EOS, PAD, PAD, PAD, PAD, PAD],
        [BOS, 11, 12, 13, 14, 15, 16, 17, 18, EOS],
        [BOS, EOS, PAD, PAD, PAD, PAD, PAD, PAD, PAD, PAD],
    ]
)


@torch.no_grad()
def test_pictures_and_texts_equal_the_independent_forward_pass(clip: RuClip) -> None:
    state = original_state(SMALL)
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    expected = torch.stack([image_features(state, SMALL, picture) for picture in pictures])
    torch.testing.assert_close(clip.encode_image(pictures), expected, atol=1e-5, rtol=1e-5)
    texts = torch.stack([text_features(state, SMALL, row) for row in TEXTS.tolist()])
    torch.testing.assert_close(clip.encode_text(TEXTS), texts, atol=1e-5, rtol=1e-5)
    # What stands behind the end token changes nothing, nor does padding that is not there.
    torch.testing.assert_close(clip.encode_text(TEXTS[:1, :5]), texts[:1], atol=1e-5, rtol=1e-5)
    cosines = torch.nn.functional.cosine_similarity(expected[:, None], texts[None], dim=-1)
    similarity = clip.similarity(pictures, TEXTS)
    torch.testing.assert_close(similarity, math.exp(2.5) * cosines, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_the_encoder_is_the_vision_tower(clip: RuClip) -> None:
    settings = {
        "embed_dim": 24,
        "image_resolution": 32,
        "vision_layers": 2,
        "vision_width": 128,
        "vision_patch_size": 8,
    }
    pictures = torch.randn(3, 3, 32, 32)
    encoder = build_encoder({"kind": "ruclip", **settings}).eval()
    encoder.load_state_dict({f"visual.{k}": v for k, v in clip.visual.state_dict().items()})
    vectors = encoder(pictures)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(
        vectors, torch.nn.functional.normalize(clip.encode_image(pictures)), atol=1e-6, rtol=1e-5
    )
    grid = build_encoder({"kind": "ruclip", "yields": "grid", **settings}).eval()
    assert grid(pictures).shape == (3, grid.positions, grid.widths[0]) == (3, 16, 128)


def test_a_text_without_its_end_is_refused(clip: RuClip) -> None:
    with pytest.raises(ValueError, match="needs its end token"):
        clip.encode_text(torch.tensor([[BOS, 5, 6]]))


def test_full_size_has_the_originals_shapes() -> None:
    with torch.device("meta"):
        full = RuClip()
    shapes = {name: tuple(value.shape) for name, value in full.state_dict().items()}
    assert shapes["visual.positional_embedding"] == (145, 768)
    assert shapes["visual.proj"] == (768, 512)
    assert shapes["positional_embedding"] == (77, 512)
    assert shapes["logit_scale"] == ()
