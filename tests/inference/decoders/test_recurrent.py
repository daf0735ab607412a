"""Recurrent decoders: the way through time equals teacher forcing, and the formulas are right."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference.common.types import DecodingOptions
from inference.decoders.attention import Attention, Kind
from inference.decoders.base import IGNORED, build_decoder, register
from inference.decoders.recurrent import RecurrentConfig, RecurrentDecoder
from inference.decoders.torch_decoder import TorchDecoder, TorchState
from inference.decoding.search import generate

V, D, E, H, P = 13, 6, 5, 8, 4
FEEDS = ["first_input", "instead_of_start", "initial_state", "nowhere"]


def config(**settings: Any) -> RecurrentConfig:
    return RecurrentConfig(vocabulary=V, picture=D, embedding=E, hidden=H, attention_width=7, **settings)


def variants() -> list[RecurrentConfig]:
    found = []
    for cell in ("lstm", "gru"):
        for feed in FEEDS[:3]:
            found.append(config(cell=cell, feed=feed, layers=2, dropout=0.3))
        found.append(config(cell=cell, input=9, head=6, head_activation="relu"))
        found.append(config(cell=cell, feed="initial_state", state_activation="sigmoid"))
        for attention in ("additive", "soft", "dot"):
            found.extend(config(cell=cell, feed=feed, attention=attention, layers=2) for feed in FEEDS)
            found.append(config(cell=cell, feed="initial_state", attention=attention, gate=True, grid=10))
    found.append(config(feed="initial_state", attention="additive", query="hidden_and_cell", head=6))
    found.append(config(input=D, linear=False, layers=2))
    return found


def memory_for(chosen: RecurrentConfig, n: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (n, P, D) if chosen.attention != "none" else (n, D)
    return torch.randn(*shape, generator=generator)


@pytest.mark.parametrize(
    "chosen", variants(), ids=lambda c: f"{c.cell}-{c.feed}-{c.attention}-{c.head}-{c.gate}"
)
@torch.no_grad()
def test_stepping_says_what_teacher_forcing_says(chosen: RecurrentConfig) -> None:
    torch.manual_seed(1)
    decoder = RecurrentDecoder(chosen).eval()
    memory = memory_for(chosen)
    tokens = torch.randint(0, V, (3, 6))
    logits = decoder(memory, tokens)
    assert logits.shape == (3, 6, V)
    state = decoder.start(memory)
    for t in range(6):
        stepped, state = decoder.step(state, tokens[:, t])
        torch.testing.assert_close(stepped, logits[:, t], atol=1e-5, rtol=1e-5)
    # The picture matters, and so does the order of what was said.
    assert not torch.allclose(logits, decoder(memory + 1, tokens), atol=1e-4)
    # A later token never changes what was said before.
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % V
    torch.testing.assert_close(decoder(memory, changed)[:, :4], logits[:, :4])


@pytest.mark.parametrize(
    "chosen", variants(), ids=lambda c: f"{c.cell}-{c.feed}-{c.attention}-{c.head}-{c.gate}"
)
def test_the_losses_are_those_of_the_logits(chosen: RecurrentConfig) -> None:
    """Also of sentences of unlike lengths, of what is given rather than said, and with more added to them."""
    torch.manual_seed(6)
    decoder = RecurrentDecoder(chosen).eval()
    memory = memory_for(chosen, 4)
    tokens, targets = torch.randint(0, V, (4, 7)), torch.randint(0, V, (4, 7))
    targets[0, 3:] = targets[1, 6:] = targets[2, :2] = targets[3] = IGNORED

    def learned(losses: Tensor) -> tuple[Tensor, list[Tensor]]:
        decoder.zero_grad()
        (losses * torch.linspace(1, 2, 28).view(4, 7)).sum().backward()
        gradients = [one.grad for one in decoder.parameters()]
        return losses.detach(), [one.clone() for one in gradients if one is not None]

    plain = functional.cross_entropy(
        decoder(memory, tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(4, 7)
    expected, wanted = learned(plain)
    found, own = learned(decoder.token_losses(memory, tokens, targets))
    torch.testing.assert_close(found, expected)
    assert len(own) == len(wanted)
    for one, other in zip(own, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    added = torch.randn(4, 7, V)
    led = functional.cross_entropy(
        (decoder(memory, tokens) + added).flatten(0, 1), targets.flatten(), reduction="none"
    )
    torch.testing.assert_close(decoder.token_losses(memory, tokens, targets, added), led.view(4, 7))
    mean = decoder.loss(memory, tokens, targets)
    torch.testing.assert_close(mean.detach(), expected.sum() / (targets != IGNORED).sum())


@pytest.mark.parametrize("chosen", variants()[::4], ids=lambda c: f"{c.cell}-{c.feed}-{c.attention}")
def test_states_can_be_reordered_and_batches_are_single_calls(chosen: RecurrentConfig) -> None:
    torch.manual_seed(2)
    decoder = RecurrentDecoder(chosen).eval()
    memory = memory_for(chosen)
    with torch.no_grad():
        state = decoder.step(decoder.start(memory), torch.tensor([1, 2, 3]))[1]
        index = torch.tensor([2, 2, 0, 1])
        moved, _ = decoder.step(TorchState(state).reorder(index.numpy()).parts, torch.tensor([4, 5, 6, 7]))
        straight, _ = decoder.step(state, torch.tensor([6, 7, 4]))
        torch.testing.assert_close(moved[2:], straight[:2], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(moved[0], straight[2], atol=1e-5, rtol=1e-5)
    for options in (
        DecodingOptions("greedy", max_tokens=9),
        DecodingOptions("beam", beams=4, max_tokens=9),
        DecodingOptions("sample", seed=3, max_tokens=9),
    ):
        together = generate(TorchDecoder(decoder), memory, options, bos=1, eos=2, pad=0)
        for i in range(3):
            alone = generate(TorchDecoder(decoder), memory[i : i + 1], options, bos=1, eos=2, pad=0)
            assert alone.tokens[0] == together.tokens[i]


@pytest.mark.parametrize("kind", ["additive", "soft", "dot"])
@torch.no_grad()
def test_attention_is_its_formula(kind: Kind) -> None:
    torch.manual_seed(3)
    attention = Attention(kind, D, H, 7)
    values, query = torch.randn(2, P, D), torch.randn(2, H)
    context, weights = attention(attention.prepare(values), values, query)
    state = attention.state_dict()
    for i in range(2):
        asked = state["query.weight"] @ query[i] + state["query.bias"]
        scores = []
        for place in values[i]:
            if kind == "dot":
                scores.append(float(place @ asked) / D**0.5)
                continue
            mixed = state["keys.weight"] @ place + state["keys.bias"] + asked
            mixed = torch.tanh(mixed) if kind == "additive" else mixed.clamp(min=0)
            scores.append(float(state["score.weight"][0] @ mixed + state["score.bias"][0]))
        expected = torch.tensor(scores).softmax(0)
        torch.testing.assert_close(weights[i], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(context[i], expected @ values[i], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_feeds_are_what_they_say() -> None:
    """The same network, fed by hand through torch's LSTM."""
    torch.manual_seed(4)
    tokens = torch.randint(0, V, (3, 5))
    first = RecurrentDecoder(config(feed="first_input", layers=2)).eval()
    memory = memory_for(first.config)
    words = first.embedding(tokens)
    picture = first.bridge[0](memory)[:, None]
    expected = first.output(first.rnn(torch.cat([picture, words], 1))[0])[:, 1:]
    torch.testing.assert_close(first(memory, tokens), expected, atol=1e-5, rtol=1e-5)

    instead = RecurrentDecoder(config(feed="instead_of_start", layers=2)).eval()
    instead.load_state_dict(first.state_dict())
    expected = first.output(first.rnn(torch.cat([picture, words[:, 1:]], 1))[0])
    torch.testing.assert_close(instead(memory, tokens), expected, atol=1e-5, rtol=1e-5)

    state = RecurrentDecoder(config(feed="initial_state", state_activation="sigmoid")).eval()
    hidden = torch.sigmoid(functional.linear(memory, *state.initial_hidden[0].parameters()))
    cell = torch.sigmoid(functional.linear(memory, *state.initial_cell[0].parameters()))
    expected = state.output(state.rnn(state.embedding(tokens), (hidden[None], cell[None]))[0])
    torch.testing.assert_close(state(memory, tokens), expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_learns_but_the_frozen_embedding() -> None:
    for chosen in variants():
        torch.manual_seed(5)
        decoder = RecurrentDecoder(chosen).train()
        logits = decoder(memory_for(chosen), torch.randint(1, V, (3, 4)))
        functional.cross_entropy(logits.flatten(0, 1), torch.randint(1, V, (12,))).backward()
        silent = [
            name
            for name, parameter in decoder.named_parameters()
            if parameter.grad is None and parameter.requires_grad
        ]
        assert silent == []
    frozen = RecurrentDecoder(config(train_embedding=False))
    assert not frozen.embedding.weight.requires_grad
    vectors = torch.randn(V, E)
    frozen.load_vectors(vectors)
    assert torch.equal(frozen.embedding.weight, vectors)
    with pytest.raises(ValueError, match=r"word vectors are \(3, 3\), the decoder needs \(13, 5\)"):
        frozen.load_vectors(torch.zeros(3, 3))


def test_the_picture_reaches_batchnorm_only_as_a_batch() -> None:
    decoder = RecurrentDecoder(config(batchnorm=True))
    assert decoder.bridge[1].momentum == 0.01
    with torch.no_grad():
        decoder.train()(torch.randn(8, D) + 3, torch.zeros(8, 1, dtype=torch.long))
    assert decoder.bridge[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gate": True}, "choose an attention"),
        ({"feed": "nowhere"}, "must be fed the picture"),
        ({"feed": "initial_state", "batchnorm": True}, "batchnorm stands behind"),
        ({"linear": False}, "A picture of 6 numbers cannot be an input of 5 as it is: leave linear out"),
        (
            {"cell": "gru", "attention": "additive", "query": "hidden_and_cell"},
            "A GRU has no cell state",
        ),
    ],
)
def test_contradictions_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(**settings)


def test_a_decoder_is_built_from_a_config_file() -> None:
    chosen = config(layers=2, attention="dot")
    decoder = build_decoder({"kind": "recurrent", **asdict(chosen)})
    assert isinstance(decoder, RecurrentDecoder)
    assert decoder.config == chosen
    assert decoder.vocabulary == V
    with pytest.raises(ValueError, match=r"Unknown decoder 'rnn': choose one of .*recurrent"):
        build_decoder({"kind": "rnn"})
    with pytest.raises(
        ValueError, match="decoder 'recurrent' has no setting 'depth': choose one of vocabulary"
    ):
        build_decoder({"kind": "recurrent", "depth": 3})
    with pytest.raises(ValueError, match="Two decoders want the name 'recurrent'"):
        register("recurrent", RecurrentConfig)(RecurrentDecoder)


def test_the_wrong_kind_of_memory_is_refused() -> None:
    decoder = RecurrentDecoder(config(attention="additive"))
    with pytest.raises(TypeError, match="Attention needs a grid"):
        decoder.start(torch.zeros(2, D))
    with pytest.raises(TypeError, match="not several layers"):
        decoder.start((torch.zeros(2, D), torch.zeros(2, D)))
