"""v1 to v7 against their ``CaptionNet``: v1 as its notebook has it, the others as its table tells of them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.weight_files.state import ImportFailed
from inference.importers.caption_net import import_caption_net, is_caption_net
from inference.importers.convert import convert
from inference.importers.family import Request

TOKENS = ["PAD", "<bos>", "<eos>", "UNK", "a", "man", "on", "the", "."]
UNITS, EMBEDDING, PICTURE = 14, 12, 2048


class CaptionNet(nn.Module):
    """``attention``: "I" is additive, "II" a batched product; ``fc``: the layer that v2 has more."""

    def __init__(self, *, attention: str = "", fc: bool = False, picture: int = PICTURE) -> None:
        super().__init__()
        self.kind = attention
        self.cnn_to_h0 = nn.Linear(picture, UNITS)
        self.cnn_to_c0 = nn.Linear(picture, UNITS)
        self.embed = nn.Embedding(len(TOKENS), EMBEDDING, padding_idx=0)
        self.lstm = nn.LSTMCell(EMBEDDING + (picture if attention else 0), UNITS)
        if attention == "I":
            self.attn_enc, self.attn_dec = nn.Linear(picture, 7), nn.Linear(UNITS, 7)
            self.attn_full = nn.Linear(7, 1)
        elif attention:
            self.attn = nn.Linear(UNITS, picture)
        self.fc1 = nn.Linear(UNITS, 11) if fc else None
        self.fc = nn.Linear(11 if fc else UNITS, len(TOKENS))

    def context(self, places: Tensor, hidden: Tensor) -> Tensor:
        if self.kind == "I":
            mixed = torch.tanh(self.attn_enc(places) + self.attn_dec(hidden)[:, None])
            scores = self.attn_full(mixed)[:, :, 0]
        else:
            scores = torch.bmm(places, self.attn(hidden)[:, :, None])[:, :, 0] / places.shape[2] ** 0.5
        return torch.bmm(scores.softmax(1)[:, None], places)[:, 0]

    def forward(self, seen: Tensor, words: Tensor) -> Tensor:
        pooled = seen.mean(1) if self.kind else seen
        hidden = torch.sigmoid(self.cnn_to_h0(pooled))
        cell = torch.sigmoid(self.cnn_to_c0(pooled))
        said = []
        for word in words.T:
            x = self.embed(word)
            if self.kind:
                x = torch.cat([x, self.context(seen, hidden)], 1)
            hidden, cell = self.lstm(x, (hidden, cell))
            top = hidden if self.fc1 is None else functional.relu(self.fc1(hidden))
            said.append(self.fc(top))
        return torch.stack(said, 1)


VERSIONS: dict[int, Callable[[], CaptionNet]] = {
    1: CaptionNet,
    2: lambda: CaptionNet(fc=True),
    3: lambda: CaptionNet(attention="I"),
    7: lambda: CaptionNet(attention="II"),
}


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_every_kind_of_it_is_computed(version: int) -> None:
    torch.manual_seed(version)
    original = VERSIONS[version]()
    assert is_caption_net(original.state_dict())
    decoder = import_caption_net(original.state_dict())
    seen = torch.rand(3, 64, PICTURE) if original.kind else torch.rand(3, PICTURE)
    words = torch.randint(1, len(TOKENS), (3, 6))
    torch.testing.assert_close(decoder(seen, words), original(seen, words), atol=1e-5, rtol=1e-5)


def test_v1_becomes_a_captioner_by_the_name_of_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models, path = tmp_path / "models", tmp_path / "v1_model_best_bleu.pt"
    network = torchvision.models.inception_v3(weights=None, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    torch.save(CaptionNet().state_dict(), path)
    (tmp_path / "tokens.pkl").write_bytes(pickle.dumps(TOKENS))
    request = Request((path, tmp_path / "tokens.pkl"), models, encoder=tmp_path / "inception.pth")
    assert convert(request, tmp_path / "out").name == "caption-net"
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["preset"] == "inception-lstm-glove"
    model = CaptionModel.load(tmp_path / "out")
    assert (model.special.pad, model.special.bos, model.special.eos) == (0, 1, 2)
    with pytest.raises(
        ImportFailed, match=r"saw through torchvision's inception_v3, which is missing: fetch"
    ):
        convert(Request(request.sources, models), tmp_path / "other")
    nameless = path.rename(tmp_path / "model.pt")
    with pytest.raises(ImportFailed, match="saw through inception_v3 or resnet101, which its tensors do not"):
        convert(Request((nameless, request.sources[1]), models), tmp_path / "other")
    assert convert(Request((nameless, request.sources[1]), models, encoder=request.encoder), tmp_path / "b")


def test_a_layer_too_many_is_refused() -> None:
    state = CaptionNet().state_dict()
    with pytest.raises(ImportFailed, match="does not fit the CaptionNet"):
        import_caption_net({**state, "one.weight": torch.zeros(3, 5), "two.weight": torch.zeros(4, 6)})
    del state["embed.weight"]
    with pytest.raises(ImportFailed, match="it has no embedding of words"):
        import_caption_net(state)
