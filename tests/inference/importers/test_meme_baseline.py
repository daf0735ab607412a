"""The files of the meme project's baselines against the originals' formulas."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from inference.checkpoints.weight_files.state import ImportFailed
from inference.common.types import DecodingOptions
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.search import generate
from inference.importers.meme_baseline import import_meme_baseline, is_meme_decoder, is_meme_encoder
from tests.inference.networks import random_statistics

State = dict[str, Tensor]
WORDS = ["кот", "мем", "надпись", ",", "."]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 0.3


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """One row, from the formulas (torch's gate order: input, forget, cell, output)."""
    w_input, w_hidden, b_input, b_hidden = weights
    i, f, g, o = (w_input @ x + b_input + w_hidden @ h + b_hidden).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Baseline:
    """A baseline of the meme project: its encoder as its code builds it, its decoder by formulas."""

    def __init__(self, network: str, start: bool, folder: Path) -> None:
        torch.manual_seed(0)
        self.words = ["<pad>", "<start>", "<end>", "<unk>"] if start else ["<pad>", "<unk>"]
        self.words += WORDS
        size, width, hidden = len(self.words), 12, 16
        resnet = torchvision.models.get_model(network, weights=None)
        deep = resnet.fc.in_features
        self.resnet = nn.Sequential(*list(resnet.children())[:-1]).eval()
        random_statistics(self.resnet)
        encoder: State = OrderedDict((f"resnet.{k}", v) for k, v in self.resnet.state_dict().items())
        encoder["embed.weight"], encoder["embed.bias"] = draw(width, deep), draw(width)
        encoder["batch.weight"], encoder["batch.bias"] = 1 + draw(width, seed=1), draw(width, seed=2)
        encoder["batch.running_mean"], encoder["batch.running_var"] = draw(width, seed=3), draw(width).exp()
        encoder["batch.num_batches_tracked"] = torch.tensor(7)
        decoder: State = {"embed.weight": draw(size, width)}
        for layer, entry in ((0, width), (1, hidden)):
            decoder[f"lstm.weight_ih_l{layer}"] = draw(4 * hidden, entry)
            decoder[f"lstm.weight_hh_l{layer}"] = draw(4 * hidden, hidden, seed=layer)
            decoder[f"lstm.bias_ih_l{layer}"] = draw(4 * hidden, seed=layer)
            decoder[f"lstm.bias_hh_l{layer}"] = draw(4 * hidden, seed=5 + layer)
        decoder["linear.weight"], decoder["linear.bias"] = draw(size, hidden) * 3, draw(size)
        self.encoder, self.decoder, self.hidden = encoder, decoder, hidden
        self.paths = (folder / "encoder_ep40.dth", folder / "decoder_ep40.dth", folder / "vocab.json")
        torch.save(encoder, self.paths[0])
        torch.save(decoder, self.paths[1])
        self.paths[2].write_text(
            json.dumps(dict(enumerate(self.words)), ensure_ascii=False), encoding="utf-8"
        )

    def features(self, pixels: Tensor) -> Tensor:
        x = self.resnet(pixels).flatten(1) @ self.encoder["embed.weight"].T + self.encoder["embed.bias"]
        x = (x - self.encoder["batch.running_mean"]) / torch.sqrt(self.encoder["batch.running_var"] + 1e-5)
        normed: Tensor = x * self.encoder["batch.weight"] + self.encoder["batch.bias"]
        return normed

    def logits(self, feature: Tensor, tokens: list[int]) -> Tensor:
        """What is said after the picture, and after each of the tokens that follow it."""
        state = [(torch.zeros(self.hidden), torch.zeros(self.hidden)) for _ in range(2)]
        said = []
        for x in [feature, *(self.decoder["embed.weight"][token] for token in tokens)]:
            for layer in range(2):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                weights = tuple(self.decoder[f"lstm.{name}_l{layer}"] for name in names)
                state[layer] = lstm_cell(x, *state[layer], weights)
                x = state[layer][0]  # noqa: PLW2901 - the next layer's input
            said.append(self.decoder["linear.weight"] @ x + self.decoder["linear.bias"])
        return torch.stack(said)


@pytest.mark.parametrize(("network", "start"), [("resnet50", True), ("resnet101", False), ("resnet34", True)])
@torch.no_grad()
def test_a_meme_baseline_equals_the_original(network: str, start: bool, tmp_path: Path) -> None:
    original = Baseline(network, start, tmp_path)
    assert is_meme_encoder(original.encoder)
    assert is_meme_decoder(original.decoder)
    encoder, decoder, words = import_meme_baseline(*original.paths)
    assert (encoder.preprocessing.size, encoder.preprocessing.fit) == (224, "squash")
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    memory = encoder(pixels)
    features = original.features(pixels)
    torch.testing.assert_close(decoder.bridge(memory), features, atol=1e-5, rtol=1e-5)
    tokens = torch.tensor([[words.bos, 4, 5, 2, 6], [words.bos, 6, 5, 4, 3]])
    logits = decoder(memory, tokens)
    for i in range(2):
        said = tokens[i].tolist()
        # With a start word, the original's first output only foretells that word.
        expected = original.logits(features[i], said)[1:] if start else original.logits(features[i], said[1:])
        torch.testing.assert_close(logits[i], expected, atol=1e-5, rtol=1e-5)
    assert decoder.embedding.weight.requires_grad == start
    found = generate(
        TorchDecoder(decoder),
        memory,
        DecodingOptions("greedy", max_tokens=6),
        bos=words.bos,
        eos=words.eos,
        pad=words.pad,
    )
    assert all(words.decode(said) == words.decode(said).strip() for said in found.tokens)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    original = Baseline("resnet34", True, tmp_path)
    encoder, decoder, vocabulary = original.paths
    with pytest.raises(ImportFailed, match=r"its ResNet has \(0, 0, 0, 0\) blocks"):
        import_meme_baseline(decoder, decoder, vocabulary)
    with pytest.raises(ImportFailed, match=r"no baseline's decoder .* no tensor 'linear\.weight'"):
        import_meme_baseline(encoder, encoder, vocabulary)
    vocabulary.write_text(json.dumps(original.words[:-1]), encoding="utf-8")
    with pytest.raises(ImportFailed, match=r"has 8 words, .* was trained with 9"):
        import_meme_baseline(encoder, decoder, vocabulary)
    # The halves of two captioners: neither the network's width nor the decoder's may differ.
    for shape, turns in (((12, 2048), "2048 numbers of a picture into 12"), ((10, 512), "512 .* into 10")):
        torch.save({**original.encoder, "embed.weight": draw(*shape)}, encoder)
        with pytest.raises(ImportFailed, match=f"turns {turns}.* find the two that were saved together"):
            import_meme_baseline(encoder, decoder, vocabulary)
    torch.save({**original.decoder, "embed.weight": draw(7)}, decoder)
    with pytest.raises(ImportFailed, match=r"'embed\.weight' has the shape \(7,\) instead of 2"):
        import_meme_baseline(encoder, decoder, vocabulary)
