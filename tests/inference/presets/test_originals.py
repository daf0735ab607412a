"""Captioners without public weights, written anew: the presets compute the same.

Those with weights are compared through their importers, in tests of these.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn

from inference.decoders.base import build_decoder
from inference.encoders.base import build_encoder
from inference.presets.preset import preset

V = 23


class FasterRcnnCaptioner(nn.Module):
    """The detector's last map, flattened, through a Linear, before the words of an LSTM of 1024 to 200."""

    def __init__(self) -> None:
        super().__init__()
        detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        self.backbone = detector.backbone
        self.linear = nn.Linear(8 * 8 * 256, 1024)
        self.embed = nn.Embedding(V, 1024)
        self.lstm = nn.LSTM(1024, 200, batch_first=True)
        self.out = nn.Linear(200, V)

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        seen = self.backbone(pixels)["pool"]
        picture = self.linear(seen.reshape(len(seen), -1))
        said, _ = self.lstm(torch.cat([picture[:, None], self.embed(words)], 1))
        logits: Tensor = self.out(said)
        return logits


@torch.no_grad()
def test_faster_rcnn_flattens_its_last_map() -> None:
    torch.manual_seed(0)
    original = FasterRcnnCaptioner().eval()
    system = preset("fasterrcnn-lstm")
    encoder = build_encoder(system.encoder_config()).eval()
    decoder = build_decoder({**system.decoder_config(), "vocabulary": V}).eval()
    encoder.load_state_dict({f"backbone.{k}": v for k, v in original.backbone.state_dict().items()})
    ours = {"linear": "bridge.0", "embed": "embedding", "lstm": "rnn", "out": "output"}
    for theirs, name in ours.items():
        decoder.get_submodule(name).load_state_dict(original.get_submodule(theirs).state_dict())
    pixels = torch.randn(2, 3, encoder.preprocessing.size, encoder.preprocessing.size)
    words = torch.randint(0, V, (2, 5))
    found = decoder(encoder(pixels), words)
    torch.testing.assert_close(found, original(pixels, words)[:, 1:], atol=1e-4, rtol=1e-4)
