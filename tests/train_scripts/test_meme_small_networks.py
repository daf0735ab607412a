"""The slot decoder: every way through it says the same, and what it says is what the formulas say.

The network learns; what serving has of it, in numpy, steps from word to word.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from inference.captioners.meme_small import concepts as served_concepts
from inference.captioners.meme_small import decoder as served
from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.memory import SlotMemory, SlotPrefixConfig
from inference.captioners.meme_small.sight import ENCODER, GRAPH_FILE, Sight
from inference.common.types import DecodingOptions
from inference.decoding.search import generate
from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES
from tests.drawing import draw_meme
from tests.inference.networks import random_statistics
from train_scripts.meme_small.graph import encoder_graph
from train_scripts.meme_small.networks import ConceptDetector, MemeSmallNetwork, SlotPrefixDecoder, TorchParts

V, WORDS = 19, 5
CONFIG = SlotPrefixConfig(
    vocabulary=V,
    concepts=6,
    width=16,
    layers=3,
    heads=4,
    shown=3,
    max_lines=8,
    max_tokens=24,
)
LINES = (3, 0, 5, 1)  # of the four pictures
# Concept 1 has two words, concept 5 none.
WORD_CONCEPTS = torch.tensor([-1] * 10 + [1, 0, 1, 2, 3, 4, -2, -1, -1])


@pytest.fixture
def decoder() -> SlotPrefixDecoder:
    """Weights ten times GPT-2's, so that attention is far from uniform and a slip far from invisible."""
    torch.manual_seed(11)
    made = SlotPrefixDecoder(CONFIG, WORD_CONCEPTS).double().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if "norm" not in name else 1.0))
    return made


def memory_of(counts: tuple[int, ...] = LINES, *, seed: int = 2) -> SlotMemory[Tensor]:
    """Pictures with ``counts`` lines each; what stands beyond a picture's last line is noise, not zero."""
    torch.manual_seed(seed)
    n, m = len(counts), max(counts)
    return SlotMemory(
        concepts=torch.stack([torch.randperm(6)[:3] for _ in range(n)]),
        probabilities=torch.rand(n, 3, dtype=torch.double),
        layout=torch.randn(n, LAYOUT_FEATURES, dtype=torch.double),
        line_features=torch.randn(n, m, LINE_FEATURES, dtype=torch.double),
        line_words=torch.randint(0, V, (n, m, WORDS)),
        line_mask=torch.arange(m)[None] < torch.tensor(counts)[:, None],
    )


def tokens_for(counts: tuple[int, ...] = LINES, length: int = 12) -> Tensor:
    """Words, and slots of lines that the picture has."""
    torch.manual_seed(4)
    rows = [torch.randint(0, V + count, (length,)) for count in counts]
    rows[0][3], rows[0][4] = V, V + counts[0] - 1  # slots for certain, in the first picture
    return torch.stack(rows)


def single(memory: SlotMemory[Tensor], i: int, count: int) -> SlotMemory[Tensor]:
    """Picture ``i`` alone, without any padding."""
    return SlotMemory(
        memory.concepts[i : i + 1],
        memory.probabilities[i : i + 1],
        memory.layout[i : i + 1],
        memory.line_features[i : i + 1, :count],
        memory.line_words[i : i + 1, :count],
        memory.line_mask[i : i + 1, :count],
    )


# --- an implementation of its own: one picture, one vector and one head at a time, no masks


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return (
        centred / torch.sqrt((centred**2).mean() + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    )


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def by_hand(weights: dict[str, Tensor], memory: SlotMemory[Tensor], tokens: list[int]) -> Tensor:
    """One picture without padding -> logits (t, V + m)."""
    w, width, heads = weights, CONFIG.width, CONFIG.heads
    lines = []
    for j in range(memory.line_features.shape[1]):
        known = [w["words.weight"][i] for i in memory.line_words[0, j].tolist() if i]
        mean = sum(known, torch.zeros(width, dtype=torch.double)) / max(len(known), 1)
        own = linear(w, "lines", memory.line_features[0, j]) + linear(w, "line_words", mean)
        lines.append(own + w["line_places.weight"][j])
    shown = []
    for concept, p in zip(memory.concepts[0].tolist(), memory.probabilities[0].tolist(), strict=True):
        named = [w["words.weight"][word] for word in range(V) if WORD_CONCEPTS[word] == concept]
        mean = sum(named, torch.zeros(width, dtype=torch.double)) / max(len(named), 1)
        sure = torch.tensor([p, math.log(p / (1 - p)) / 4, math.sqrt(p)], dtype=torch.double)
        shown.append(mean + w["concepts.weight"][concept] + linear(w, "probability", sure))
    prefix = [*shown, linear(w, "layout", memory.layout[0]), *lines]
    words = [
        (w["words.weight"][token] if token < V else lines[token - V] + w["slot"]) + w["places.weight"][place]
        for place, token in enumerate(tokens)
    ]
    x = prefix + words
    for layer in range(CONFIG.layers):
        name = f"blocks.{layer}"
        qkv = [linear(w, f"{name}.attention.qkv", norm(w, f"{name}.norm_1", one)) for one in x]
        after = []
        for i, before in enumerate(x):
            seen = max(len(prefix), i + 1)  # the prefix sees itself; a word also the words up to it
            heard = []
            for head in range(heads):
                part = slice(head * width // heads, (head + 1) * width // heads)
                q = qkv[i][:width][part]
                keys = torch.stack([one[width : 2 * width][part] for one in qkv[:seen]])
                values = torch.stack([one[2 * width :][part] for one in qkv[:seen]])
                share = (keys @ q / math.sqrt(width / heads)).exp()
                heard.append(share @ values / share.sum())
            one = before + linear(w, f"{name}.attention.out", torch.cat(heard))
            hidden = gelu(linear(w, f"{name}.mlp.0", norm(w, f"{name}.norm_2", one)))
            after.append(one + linear(w, f"{name}.mlp.2", hidden))
        x = after
    x = [norm(w, "norm", one) for one in x]
    prefixed = len(prefix)
    pointed = [linear(w, "pointer_key", x[prefixed - len(lines) + j]) for j in range(len(lines))]
    logits = []
    for hidden in x[prefixed:]:
        query = linear(w, "pointer_query", hidden)
        copies = [query @ key / math.sqrt(width) for key in pointed]
        logits.append(torch.cat([w["words.weight"] @ hidden, *(copy[None] for copy in copies)]))
    return torch.stack(logits)


@torch.no_grad()
def test_the_forward_pass_is_what_the_formulas_say(decoder: SlotPrefixDecoder) -> None:
    memory, tokens = memory_of(), tokens_for()
    logits = decoder(memory, tokens)
    weights = dict(decoder.state_dict())
    for i, count in enumerate(LINES):
        expected = by_hand(weights, single(memory, i, count), tokens[i].tolist())
        torch.testing.assert_close(logits[i, :, : V + count], expected, atol=1e-8, rtol=1e-8)
        assert torch.isneginf(logits[i, :, V + count :]).all()


def serving(decoder: SlotPrefixDecoder) -> served.SlotPrefixDecoder:
    weights = {name: value.numpy() for name, value in decoder.state_dict().items()}
    return served.SlotPrefixDecoder(decoder.config, weights, WORD_CONCEPTS.tolist())


def arrays(memory: SlotMemory[Tensor]) -> SlotMemory[Any]:
    """In the kinds that serving has."""
    values = (getattr(memory, field.name) for field in fields(memory))
    return SlotMemory(*(np.asarray(one.float() if one.is_floating_point() else one) for one in values))


@pytest.mark.parametrize("copying", ["pointer", "slots"])
@pytest.mark.parametrize("counts", [LINES, (0, 0), (1,)])
@torch.no_grad()
def test_stepping_says_what_teacher_forcing_says(
    decoder: SlotPrefixDecoder, counts: tuple[int, ...], copying: Literal["pointer", "slots"]
) -> None:
    if copying == "slots":
        decoder = SlotPrefixDecoder(replace(CONFIG, copying=copying), WORD_CONCEPTS).double().eval()
    memory = memory_of(counts)
    tokens = torch.stack([torch.arange(24) * 7 % (V + count) for count in counts])
    logits = decoder(memory, tokens).numpy()
    stepping = serving(decoder)
    state = stepping.start(arrays(memory))
    for t in range(tokens.shape[1]):
        stepped, state = stepping.step(state, tokens[:, t].numpy())
        assert stepped.dtype == np.float32
        np.testing.assert_allclose(stepped, logits[:, t], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_batch_says_what_each_picture_alone_says(decoder: SlotPrefixDecoder) -> None:
    memory, tokens = memory_of(), tokens_for()
    together = decoder(memory, tokens)
    for i, count in enumerate(LINES):
        alone = decoder(single(memory, i, count), tokens[i : i + 1])
        torch.testing.assert_close(together[i : i + 1, :, : V + count], alone, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_what_stands_beyond_the_last_line_changes_nothing(decoder: SlotPrefixDecoder) -> None:
    memory, tokens = memory_of(), tokens_for()
    before = decoder(memory, tokens)
    noise = torch.where(memory.line_mask[..., None], memory.line_features, memory.line_features * 1e3 + 7)
    after = decoder(replace(memory, line_features=noise), tokens)
    assert torch.equal(before, after)


@torch.no_grad()
def test_later_words_change_nothing_said_before(decoder: SlotPrefixDecoder) -> None:
    memory, tokens = memory_of(), tokens_for()
    before = decoder(memory, tokens)
    changed = tokens.clone()
    changed[:, 6] = (changed[:, 6] + 1) % V
    after = decoder(memory, changed)
    torch.testing.assert_close(after[:, :6], before[:, :6], atol=1e-9, rtol=0)
    finite = torch.isfinite(before[:, 6:])
    assert ((after[:, 6:] - before[:, 6:]).masked_fill(~finite, 0).abs().amax(-1) > 1e-6).all()


@torch.no_grad()
def test_the_lines_and_the_picture_are_looked_at(decoder: SlotPrefixDecoder) -> None:
    memory, tokens = memory_of(), tokens_for()
    before = decoder(memory, tokens)
    for other in (
        replace(memory, concepts=(memory.concepts + 1) % CONFIG.concepts),
        replace(memory, probabilities=memory.probabilities * 0.5),
        replace(memory, layout=memory.layout + 1),
        replace(memory, line_features=memory.line_features + 1),
        replace(memory, line_words=(memory.line_words + 1) % V),
    ):
        after = decoder(other, tokens)
        assert not torch.allclose(after[0, :, :V], before[0, :, :V], atol=1e-4)


@torch.no_grad()
def test_a_reordered_state_goes_on_as_its_rows(decoder: SlotPrefixDecoder) -> None:
    """Three rows of each picture go different ways, and twice the same one."""
    memory, tokens = memory_of(), tokens_for(tuple(count for count in LINES for _ in range(3)))
    stepping = serving(decoder)
    state = stepping.start(arrays(memory)).reorder(np.repeat(np.arange(4), 3))
    said = [[int(token)] for token in tokens[:, 0]]
    _, state = stepping.step(state, tokens[:, 0].numpy())
    for t in range(1, 11):
        index = np.array([3 * picture + (row * t + t) % 3 for picture in range(4) for row in range(3)])
        state = state.reorder(index)
        assert state.rows == 12
        said = [[*said[row], int(token)] for row, token in zip(index, tokens[:, t], strict=True)]
        logits, state = stepping.step(state, tokens[:, t].numpy())
    for row, own in enumerate(said):
        picture, count = row // 3, LINES[row // 3]
        expected = decoder(single(memory, picture, count), torch.tensor([own]))[0, -1]
        np.testing.assert_allclose(logits[row, : V + count], expected.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(strategy="greedy", max_tokens=10),
        DecodingOptions(strategy="beam", beams=3, max_tokens=10),
        DecodingOptions(strategy="sample", seed=3, max_tokens=10),
    ],
    ids=lambda options: options.strategy,
)
def test_a_batch_generates_what_each_picture_alone_gets(
    decoder: SlotPrefixDecoder, options: DecodingOptions
) -> None:
    # A draw depends on how many entries the distribution has: for sampling the pictures have as many lines.
    counts = (3, 3, 3) if options.strategy == "sample" else LINES
    memory = memory_of(counts)
    stepping = serving(decoder)
    together = generate(stepping, arrays(memory), options, bos=1, eos=2, pad=0)
    for i, count in enumerate(counts):
        alone = generate(stepping, arrays(single(memory, i, count)), options, bos=1, eos=2, pad=0)
        assert together.tokens[i] == alone.tokens[0]
        assert together.logprobs[i] == pytest.approx(alone.logprobs[0], abs=1e-4)


def test_every_parameter_learns_from_words_and_slots() -> None:
    torch.manual_seed(0)
    decoder = SlotPrefixDecoder(CONFIG, WORD_CONCEPTS).double()
    tokens = tokens_for()
    chosen = decoder(memory_of(), tokens).log_softmax(-1).gather(2, tokens[..., None])
    chosen.sum().backward()
    dead = [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []
    assert all(torch.isfinite(p.grad).all() for p in decoder.parameters() if p.grad is not None)


def test_slots_as_words_know_the_number_of_a_line_and_nothing_else() -> None:
    torch.manual_seed(3)
    made = SlotPrefixDecoder(replace(CONFIG, copying="slots"), WORD_CONCEPTS).double().eval()
    memory, tokens = memory_of(), tokens_for()
    logits = made(memory, tokens)
    table = made.state_dict()["pointer_key.weight"]
    assert table.shape == (CONFIG.max_lines, CONFIG.width)
    hidden: list[Tensor] = []
    made.norm.register_forward_hook(lambda module, given, result: hidden.append(result))
    made(memory, tokens)
    query = made.pointer_query(hidden[0][:, -tokens.shape[1] :])
    m = memory.line_mask.shape[1]
    expected = (query @ table[:m].T / CONFIG.width**0.5).masked_fill(~memory.line_mask[:, None], -torch.inf)
    torch.testing.assert_close(logits[..., -m:], expected)


def test_the_encoder_s_graph_sees_what_the_network_sees() -> None:
    network = MemeSmallNetwork(CONFIG, ConceptTable(["кот"] * 6, WORD_CONCEPTS.tolist())).eval()
    torch.manual_seed(5)
    random_statistics(network.encoder)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    images = [draw_meme("photo", width=300), draw_meme("two_frames", width=500), draw_meme("tweet")]
    expected = TorchParts(network).see(images)
    seen = Sight(ENCODER, weights, threads=1)(images)
    assert seen.shape == (3, 2, 1280)
    np.testing.assert_allclose(seen, expected, atol=1e-4 * expected.max())


def test_the_detectors_served_find_what_the_network_finds() -> None:
    torch.manual_seed(6)
    network = ConceptDetector(12, 7)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.uniform_(0.1, 1)
    detector = served_concepts.ConceptDetector({k: v.numpy() for k, v in network.state_dict().items()})
    told = torch.rand(3, 2, 12), torch.rand(3, LAYOUT_FEATURES), (torch.rand(3, 7) < 0.5).float()
    told[0][1] = 0  # a picture on which nothing is seen
    with torch.no_grad():
        expected = torch.sigmoid(network(*told)).numpy()
    np.testing.assert_allclose(detector(*(one.numpy() for one in told)), expected, rtol=1e-5)


def test_the_encoder_s_graph_is_the_network_s() -> None:
    """Who changes the architecture writes it anew: ``python -m train_scripts graphs``."""
    assert encoder_graph() == GRAPH_FILE.read_bytes()
