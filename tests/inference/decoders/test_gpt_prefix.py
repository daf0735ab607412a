"""GPT-2 with a prefix: cached steps equal the whole model, tokens are those of Hugging Face."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor

from inference.common.types import DecodingOptions
from inference.decoders.base import build_decoder
from inference.decoders.gpt_prefix import GptPrefixConfig, GptPrefixDecoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.search import generate

V, W = 61, 32
IMAGE, START = 59, 60


def config(**settings: Any) -> GptPrefixConfig:
    chosen: dict[str, Any] = {
        "vocabulary": V,
        "pictures": (12,),
        "prefix": 5,
        "clip_length": 4,
        "mapper_layers": 2,
        "mapper_heads": 4,
        "width": W,
        "layers": 3,
        "heads": 4,
        "positions": 40,
    }
    return GptPrefixConfig(**(chosen | settings))


VARIANTS = {
    "mlp": config(),
    "transformer": config(mapper="transformer"),
    "grid": config(mapper="grid"),
    "grid with markers": config(mapper="grid", image_token=IMAGE),
    "grid with markers and types": config(mapper="grid", image_token=IMAGE, token_types=True),
    "layers": config(mapper="layers", pictures=(6, 8, 10)),
    "one position": config(prefix=1),
}


def decoder_of(chosen: GptPrefixConfig) -> GptPrefixDecoder:
    torch.manual_seed(0)
    decoder = GptPrefixDecoder(chosen).eval()
    with torch.no_grad():  # GPT-2 starts almost uniform: louder weights, so that tokens differ
        for parameter in decoder.gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return decoder


def memory_for(chosen: GptPrefixConfig, n: int = 3) -> Tensor | tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    if chosen.mapper == "layers":
        return tuple(torch.randn(n, width, generator=generator) for width in chosen.pictures)
    if chosen.mapper == "grid":
        return torch.randn(n, 6, 12, generator=generator)
    return torch.randn(n, 12, generator=generator)


def one(memory: Tensor | tuple[Tensor, ...], i: int) -> Tensor | tuple[Tensor, ...]:
    return tuple(level[i : i + 1] for level in memory) if isinstance(memory, tuple) else memory[i : i + 1]


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_cached_steps_say_what_the_whole_model_says(name: str) -> None:
    chosen = VARIANTS[name]
    decoder = decoder_of(chosen)
    memory = memory_for(chosen)
    tokens = torch.randint(0, V - 2, (3, 7))
    tokens[:, 0] = START
    logits = decoder(memory, tokens)
    assert logits.shape == (3, 7, V)
    state = decoder.start(memory)
    for t in range(7):
        stepped, state = decoder.step(state, tokens[:, t])
        torch.testing.assert_close(stepped, logits[:, t], atol=1e-5, rtol=1e-4)
    changed = tokens.clone()
    changed[:, 5] = 3
    torch.testing.assert_close(decoder(memory, changed)[:, :5], logits[:, :5], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 3, 5])
@pytest.mark.parametrize("eos", [None, 7])
@torch.no_grad()
def test_tokens_are_those_of_hugging_faces_generate(beams: int, eos: int | None) -> None:
    chosen = VARIANTS["mlp"]
    decoder = decoder_of(chosen)
    memory = memory_for(chosen, 4)
    end = 7 if eos is not None else V - 1
    if eos is None:
        decoder.gpt.lm_head.weight[end] = 0  # tied: that word is never likely
    else:
        decoder.gpt.transformer.ln_f.bias += 0.3 * decoder.gpt.lm_head.weight[end]
    options = DecodingOptions("beam", beams=beams, max_tokens=20)
    ours = generate(TorchDecoder(decoder), memory, options, bos=START, eos=end, pad=0)
    theirs = decoder.gpt.generate(
        inputs_embeds=decoder.prefix(memory),
        attention_mask=torch.ones(4, chosen.prefix, dtype=torch.long),
        num_beams=beams,
        do_sample=False,
        max_new_tokens=20,
        eos_token_id=end,
        pad_token_id=0,
        length_penalty=1.0,
        early_stopping="never" if beams > 1 else False,
        use_cache=True,
    )
    for found, row in zip(ours.tokens, theirs.tolist(), strict=True):
        assert found == (row[: row.index(end)] if end in row else row)
    if eos is not None:
        assert any(ours.finished)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_gives_what_single_calls_give(name: str) -> None:
    chosen = VARIANTS[name]
    decoder = decoder_of(chosen)
    memory = memory_for(chosen)
    for options in (
        DecodingOptions("greedy", max_tokens=12),
        DecodingOptions("beam", beams=4, max_tokens=12, no_repeat_ngram=2),
        DecodingOptions("sample", seed=4, top_p=0.9, max_tokens=12),
    ):
        together = generate(TorchDecoder(decoder), memory, options, bos=START, eos=7, pad=0)
        for i in range(3):
            alone = generate(TorchDecoder(decoder), one(memory, i), options, bos=START, eos=7, pad=0)
            assert alone.tokens == [together.tokens[i]]


@torch.no_grad()
def test_the_mlp_mapper_is_its_formula() -> None:
    decoder = decoder_of(VARIANTS["mlp"])
    memory = memory_for(VARIANTS["mlp"])
    state = decoder.mapper.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "model.0.weight": (80, 12),
        "model.0.bias": (80,),
        "model.2.weight": (160, 80),
        "model.2.bias": (160,),
    }
    inner = torch.tanh(memory @ state["model.0.weight"].T + state["model.0.bias"])
    expected = (inner @ state["model.2.weight"].T + state["model.2.bias"]).reshape(3, 5, W)
    torch.testing.assert_close(decoder.prefix(memory), expected)


@torch.no_grad()
def test_the_transformer_mapper_is_its_formula() -> None:
    """One head of one picture at a time, from the paper."""
    decoder = decoder_of(VARIANTS["transformer"])
    memory = memory_for(VARIANTS["transformer"])
    state = decoder.mapper.state_dict()
    for i, picture in enumerate(memory):
        x = (state["linear.weight"] @ picture + state["linear.bias"]).reshape(4, W)
        x = torch.cat([x, state["prefix_const"]])
        for layer in range(2):
            name = f"transformer.layers.{layer}."
            y = torch.nn.functional.layer_norm(
                x, (W,), state[name + "norm1.weight"], state[name + "norm1.bias"]
            )
            queries = y @ state[name + "attn.to_queries.weight"].T
            keys_values = (y @ state[name + "attn.to_keys_values.weight"].T).reshape(-1, 2, 4, W // 4)
            heads = []
            for head in range(4):
                query = queries[:, head * 8 : head * 8 + 8]
                scores = query @ keys_values[:, 0, head].T / math.sqrt(8)
                heads.append(scores.softmax(1) @ keys_values[:, 1, head])
            y = torch.cat(heads, 1) @ state[name + "attn.project.weight"].T
            x = x + y + state[name + "attn.project.bias"]
            y = torch.nn.functional.layer_norm(
                x, (W,), state[name + "norm2.weight"], state[name + "norm2.bias"]
            )
            y = (y @ state[name + "mlp.fc1.weight"].T + state[name + "mlp.fc1.bias"]).clamp(min=0)
            x = x + y @ state[name + "mlp.fc2.weight"].T + state[name + "mlp.fc2.bias"]
        torch.testing.assert_close(decoder.prefix(one(memory, i))[0], x[4:], atol=1e-5, rtol=1e-4)


def test_a_frozen_language_model_gets_no_gradient_and_no_dropout() -> None:
    for train_gpt in (False, True):
        decoder = GptPrefixDecoder(config(mapper="transformer", train_gpt=train_gpt, dropout=0.5)).train()
        assert decoder.gpt.training == train_gpt
        assert decoder.mapper.training
        decoder(torch.randn(2, 12), torch.randint(0, V, (2, 4))).logsumexp(-1).sum().backward()
        learns = {name for name, parameter in decoder.named_parameters() if parameter.grad is not None}
        assert any(name.startswith("mapper.") for name in learns)
        assert any(name.startswith("gpt.") for name in learns) == train_gpt
        assert {n for n, _ in decoder.named_parameters() if n.startswith("mapper.")} <= learns


def test_a_sentence_longer_than_the_model_is_refused() -> None:
    decoder = decoder_of(config(positions=8))
    with pytest.raises(ValueError, match=r"have 9 places, the language model has 8: lower max_tokens"):
        generate(
            TorchDecoder(decoder),
            torch.randn(1, 12),
            DecodingOptions("greedy", max_tokens=9),
            bos=START,
            eos=-1,
            pad=0,
        )


def test_settings_survive_a_config_file_and_contradictions_are_refused() -> None:
    chosen = VARIANTS["layers"]
    written = {**asdict(chosen), "pictures": list(chosen.pictures), "kind": "gpt_prefix"}
    decoder = build_decoder(written)
    assert isinstance(decoder, GptPrefixDecoder)
    assert decoder.config == chosen
    with pytest.raises(ValueError, match="need the 'layers' mapper"):
        config(pictures=(6, 8))
    with pytest.raises(ValueError, match="Token types need an image_token"):
        config(mapper="grid", token_types=True)
    with pytest.raises(TypeError, match=r"needs one vector a picture \(n, d\)"):
        decoder_of(VARIANTS["mlp"]).start(torch.zeros(1, 6, 12))
    with pytest.raises(TypeError, match="needs 3 layers' vectors"):
        decoder_of(chosen).start(torch.zeros(1, 6))


def test_the_originals_full_size_fits_their_files() -> None:
    with torch.device("meta"):
        decoder = GptPrefixDecoder(GptPrefixConfig(vocabulary=50264, pictures=(512,)))
    shapes = {name: tuple(value.shape) for name, value in decoder.state_dict().items()}
    assert shapes["mapper.model.0.weight"] == (3840, 512)
    assert shapes["mapper.model.2.weight"] == (7680, 3840)
    assert shapes["gpt.transformer.wpe.weight"] == (2048, 768)
    assert shapes["gpt.transformer.h.11.attn.c_attn.weight"] == (768, 2304)
