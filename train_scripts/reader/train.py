"""Training the recogniser: the published one, a head for Cyrillic and Latin, rendered and real lines."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from inference.checkpoints.modules import write_tensors
from inference.common.errors import UserError
from inference.reading.regions import LINE_HEIGHT
from train_scripts.files import replacing
from train_scripts.reader.networks import LineRecognizer, TextDetector
from train_scripts.reader.render import LineRenderer, vary
from train_scripts.reader.text import CHARACTERS

_CLASS = {character: number for number, character in enumerate(CHARACTERS, start=1)}
# What another head has that looks like a character of ours: its weights are a better start than none.
_LOOK = dict(
    zip("АВЕКМНОРСТХасеорхугпГПФЛИЗЖЬЁбьвнтмзч", "ABEKMHOPCTXaceopxyrnΓΠΦΛN3Жbë6bBHTM34", strict=True)
) | dict(zip("іІїЇєЄґҐўЎ×÷±≈≠≤≥→²³£¢₴", "iIiIеЕгГуУx:+==<>-23EcS", strict=True))
_BATCH = 24
_RATES = 4e-4, 8e-4, 2.5e-3  # of the blocks, the steps' layers, the head
_KEEP = 0.997  # of the averaged weights, a step


def with_own_head(network: LineRecognizer, characters: Sequence[str]) -> LineRecognizer:
    """A recogniser (``characters[i]`` is class ``i``) with a head for :data:`CHARACTERS`.

    What its own head knew stays as it was; a character that it did not know begins as one that looks alike.
    """
    old = network.head
    head = nn.Linear(old.in_features, len(CHARACTERS) + 1)
    place = {character: number for number, character in enumerate(characters) if character}
    with torch.no_grad():
        head.weight.mul_(0.5)
        head.bias.fill_(float(old.bias[1:].median()))
        head.weight[0], head.bias[0] = old.weight[0], old.bias[0]
        for character, number in _CLASS.items():
            known = place.get(character, place.get(_LOOK.get(character, "")))
            if known is not None:
                head.weight[number], head.bias[number] = old.weight[known], old.bias[known]
    network.head = head
    return network


def batches(
    renderer: LineRenderer, real: Sequence[tuple[Image.Image, str]], *, share: float, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: pixels (n, 3, 48, w) uint8, all classes in a row, and each line's number of them.

    ``share`` of the lines are real ones.
    """
    pick = random.Random(seed)
    while True:
        lines = []
        for _ in range(4 * _BATCH):
            if real and pick.random() < share:
                image, text = pick.choice(real)
                lines.append((vary(pick, image), text))
            else:
                lines.append(renderer.draw())
        lines.sort(key=lambda line: line[0].width)  # little padding
        parts = [lines[start : start + _BATCH] for start in range(0, len(lines), _BATCH)]
        pick.shuffle(parts)
        for part in parts:
            width = math.ceil(max(image.width for image, _ in part) / 16) * 16
            pixels = torch.full((len(part), 3, LINE_HEIGHT, width), 127, dtype=torch.uint8)
            for row, (image, _) in enumerate(part):
                values = np.asarray(image)[..., ::-1].copy()
                pixels[row, :, :, : image.width] = torch.from_numpy(values).permute(2, 0, 1)
            classes = [torch.tensor([_CLASS[character] for character in text]) for _, text in part]
            yield pixels, torch.cat(classes), torch.tensor([len(own) for own in classes])


def train(
    network: LineRecognizer,
    data: Iterator[tuple[Tensor, Tensor, Tensor]],
    *,
    lines: int,
    rate: float = 1.0,
) -> LineRecognizer:
    """Trains on ``lines`` lines and returns the recogniser with averaged weights.

    The stem and the first blocks stay as they are.
    """
    network = network.train()
    for part in (network.stem, network.blocks[: network.FROZEN]):
        part.requires_grad_(False)
    steps = [network.shortcut, network.project, network.local, network.mixers, network.norm]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(network.blocks[network.FROZEN :].parameters())},
            {"params": [parameter for part in steps for parameter in part.parameters()]},
            {"params": list(network.head.parameters())},
        ],
        lr=1.0,
        weight_decay=0.02,
        betas=(0.9, 0.98),
    )
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    count = max(1, lines // _BATCH)
    progress = tqdm(range(count), desc="recogniser")
    for step in progress:
        decay = 0.5 * (1 + math.cos(math.pi * step / count))
        for group, own in zip(optimizer.param_groups, _RATES, strict=True):
            group["lr"] = own * rate * min(1.0, (step + 1) / 100) * (0.03 + 0.97 * decay)
        pixels, classes, lengths = next(data)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                early = network.early(pixels.float() / 127.5 - 1)
            logits = network.late(early)
        logs = logits.float().log_softmax(dim=-1).transpose(0, 1)
        seen = torch.full_like(lengths, logs.shape[0])
        loss = functional.ctc_loss(logs, classes, seen, lengths, zero_infinity=True)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimizer.step()
        keep = min(_KEEP, (step + 1) / (step + 20))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - keep)
                else:
                    averaged[name].copy_(value)
        progress.set_postfix(loss=f"{float(loss.detach()):.3f}")
    network.load_state_dict(averaged)
    return network.eval()


def save(path: Path, detector: TextDetector, recognizer: LineRecognizer) -> None:
    """Writes what ``inference.reading.ocr`` loads, in half precision. Raises UserError; the former file is
    then as it was.
    """
    weights = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    weights |= {f"recognizer.{name}": value for name, value in recognizer.state_dict().items()}
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in weights.items()
    }
    try:
        with replacing(path) as part:
            write_tensors(part, halves, {"characters": json.dumps(list(CHARACTERS), ensure_ascii=False)})
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written ({error}): name another file with --out.") from None
