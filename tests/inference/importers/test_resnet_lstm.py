"""ResNet-34 and an LSTM of three layers in one file, against the captioner written anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision import transforms

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.verify import drawn_picture
from inference.checkpoints.weight_files.state import ImportFailed
from inference.importers.convert import convert
from inference.importers.family import Request
from inference.importers.resnet_lstm import import_resnet_lstm

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "кот", "на", "столе", "."]


class Captioner(nn.Module):
    """The picture's 512 numbers as they are are the first of the LSTM's inputs, words of 512 follow."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        resnet = torchvision.models.resnet34(weights=None)
        resnet.fc = nn.Identity()
        self.cnn = nn.Sequential(*list(resnet.children())[:-1]) if cut else resnet
        self.embed = nn.Embedding(len(WORDS), 512)
        self.lstm = nn.LSTM(512, 300, 3, batch_first=True, dropout=0.05)
        self.fc = nn.Linear(300, len(WORDS))

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        picture = self.cnn(pixels).flatten(1)
        said, _ = self.lstm(torch.cat([picture[:, None], self.embed(words)], 1))
        logits: Tensor = self.fc(said)
        return logits


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut into a Sequential"])
def test_the_captioner_is_the_original_from_the_picture_on(cut: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = Captioner(cut=cut).eval()
    torch.save(original if cut else original.state_dict(), tmp_path / "model.pt")
    (tmp_path / "words.json").write_text(json.dumps(WORDS), encoding="utf-8")
    request = Request((tmp_path / "model.pt", tmp_path / "words.json"), tmp_path)
    assert convert(request, tmp_path / "out").name == "resnet-lstm"
    model = CaptionModel.load(tmp_path / "out")
    seen = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    words = torch.tensor([[1, 4, 5, 6, 7]])
    with torch.no_grad():
        expected = original(seen(drawn_picture())[None], words)[:, 1:]
        found = model(model.encode([drawn_picture()]), words)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_another_captioner_is_refused() -> None:
    state = Captioner(cut=False).state_dict()
    with pytest.raises(ImportFailed, match=r"it has a layer between of the shape \(9, 512\) too many"):
        import_resnet_lstm({**state, "between.weight": torch.zeros(9, 512), "between.bias": torch.zeros(9)})
    with pytest.raises(ImportFailed, match="it lacks an embedding or the layer"):
        import_resnet_lstm({key: v for key, v in state.items() if not key.startswith("embed.")})
    with pytest.raises(ImportFailed, match="name the file that holds a ResNet-34 and an LSTM"):
        import_resnet_lstm({key: v for key, v in state.items() if not key.startswith("cnn.")})
