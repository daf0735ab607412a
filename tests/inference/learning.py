"""Eight drawn pictures with their captions, and the shortest training that can learn them by heart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from inference.captioners.building import build
from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED
from inference.encoders.base import Encoder, Memory
from inference.presets.preset import Preset, preset
from inference.tokenizers.base import Tokenizer
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words import WordTokenizer
from inference.tokenizers.youtokentome import YouTokenToMe

CAPTIONS = [
    "Красный круг на белом фоне.",
    "Красный круг на чёрном фоне.",
    "Синий квадрат.",
    "Синий квадрат, под ним зелёная полоса.",
    "Две жёлтые полосы и две жёлтые полосы.",  # repeats itself: a decoder that loops would not stop
    "Пустая картинка.",
    "Зелёный круг, а справа маленький синий квадрат.",
    "Чёрные полосы на белом фоне.",
]


def pictures() -> list[Image.Image]:
    """One a caption, 128 x 128."""
    backgrounds = ["white", "black", "white", "white", "gray", "white", "white", "white"]
    drawn = [Image.new("RGB", (128, 128), colour) for colour in backgrounds]
    pens = [ImageDraw.Draw(image) for image in drawn]
    for pen in pens[:2]:
        pen.ellipse((24, 24, 104, 104), fill="red")
    for pen in pens[2:4]:
        pen.rectangle((30, 20, 90, 80), fill="blue")
    pens[3].rectangle((0, 100, 128, 120), fill="green")
    for top in (10, 40, 70, 100):
        pens[4].rectangle((0, top, 128, top + 10), fill="yellow")
        pens[7].rectangle((0, top, 128, top + 6), fill="black")
    pens[6].ellipse((10, 30, 70, 90), fill="green")
    pens[6].rectangle((100, 50, 118, 68), fill="blue")
    return drawn


def tokenizer_for(name: str, folder: Path) -> Tokenizer:
    """A tokenizer of the preset's kind, made from the captions alone."""
    wanted = preset(name).tokenizer
    if wanted.kind == "words":
        return WordTokenizer.from_captions(CAPTIONS, **{**wanted.settings, "threshold": 1})
    if wanted.kind == "youtokentome":
        return YouTokenToMe(_letters(folder / "bpe.model"))
    return train_bpe(CAPTIONS, folder)


def train_bpe(captions: list[str], folder: Path) -> Gpt2Tokenizer:
    """A tokenizer of ruGPT-3's kind whose pieces are those of the captions."""
    trained = ByteLevelBPETokenizer(add_prefix_space=False)
    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    trained.train_from_iterator(captions, vocab_size=340, special_tokens=specials, show_progress=False)
    trained.save_model(str(folder))
    return Gpt2Tokenizer.load(folder)


def _letters(path: Path) -> Path:
    """A youtokentome model that knows the captions' letters and merges the space sign with each."""
    letters = sorted(set("".join(CAPTIONS).lower()) - {" "})
    space, first = 4, 5
    lines = [f"{len(letters) + 1} {len(letters)}", f"{ord('▁')} {space}"]
    lines += [f"{ord(letter)} {first + i}" for i, letter in enumerate(letters)]
    lines += [f"{space} {first + i} {first + len(letters) + i}" for i in range(len(letters))]
    path.write_text("\n".join([*lines, "1 0 2 3"]) + "\n", encoding="ascii")
    return path


def calibrate(encoder: Encoder, pixels: Tensor) -> None:
    """Gives a network of random weights activations like a trained one's.

    Without it they grow layer by layer, and after a hundred layers all pictures look alike: the statistics of
    BatchNorm are set from the pictures, and what a residual block adds is made small.
    """
    for module in encoder.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.constant_(last.weight, 0.1)
    if encoder.yields == "codes":
        return
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        memory = encoder(pixels)
        for norm in norms:
            norm.eval()
        if not norms:  # Faster R-CNN's frozen BatchNorm has no statistics to set: scale what comes out
            for name, parameter in encoder.named_parameters():
                if ".fpn." in name:
                    parameter.div_(memory.std())


def captions_of(model: CaptionModel) -> list[str]:
    """The captions as the model's tokenizer can write them: GPT-2's alone knows capitals."""
    lower = model.tokenizer is not None and model.tokenizer.kind != "gpt2"
    return [caption.lower() if lower else caption for caption in CAPTIONS]


def by_heart(model: CaptionModel, memory: Memory) -> bool:
    """Whether every caption comes out greedily, word for word, and ends by itself."""
    assert model.tokenizer is not None
    model.eval()
    said = model.generate(memory, DecodingOptions("greedy", max_tokens=60))
    texts = [model.tokenizer.decode(tokens) for tokens in said.tokens]
    model.train()
    return texts == captions_of(model) and all(said.finished)


def steps(model: CaptionModel, memory: Callable[[], Memory], *, rate: float) -> Iterator[Callable[[], float]]:
    """Training steps without an end; after each, a way to ask for the loss of the least likely token."""
    batch = model.batch(CAPTIONS)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=rate)
    model.train()
    while True:
        seen = memory()
        loss = model.loss(seen, batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        yield partial(worst_token, model, seen, batch)


@torch.no_grad()
def worst_token(model: CaptionModel, memory: Memory, batch: Batch) -> float:
    """The loss of the least likely of all tokens."""
    logits = model(memory, batch.tokens).flatten(0, 1)
    each = functional.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORED, reduction="none")
    return float(each.max())


def learn(model: CaptionModel, *, limit: int = 1500, rate: float = 3e-3) -> tuple[Memory, int]:
    """Trains on the eight pictures until they are known by heart; the memory and the steps it took."""
    pixels = model.encoder.pixels(pictures())
    model.eval()
    calibrate(model.encoder, pixels)
    with torch.no_grad():
        memory = model.encoder(pixels)  # the encoders are frozen: once is enough
    for step, worst in enumerate(steps(model, lambda: memory, rate=rate), 1):
        # Sure enough that a beam and a cool draw find the same, not only the likeliest word of every step.
        if step % 25 == 0 and worst() < 0.1 and by_heart(model, memory):
            return memory, step
        if step == limit:
            raise AssertionError(f"not learned in {limit} steps")
    raise AssertionError("unreachable")


_TINY_ENCODERS: dict[str, dict[str, Any]] = {
    "inception_v3": {"preprocessing": {"size": 96}},
    "ruclip": {
        "embed_dim": 32,
        "image_resolution": 64,
        "vision_layers": 2,
        "vision_width": 64,
        "vision_patch_size": 16,
        "preprocessing": {"size": 64, "via": 48, "mean": [0.5, 0.5, 0.5], "std": [0.3, 0.3, 0.3]},
    },
    "vqgan": {
        "channels": 32,
        "multipliers": [1, 1, 1],
        "blocks": 1,
        "depth": 16,
        "codes": 64,
        "preprocessing": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    },
}
_SMALL_PICTURE = {"preprocessing": {"size": 64}}
_TINY_DECODERS: dict[str, dict[str, Any]] = {
    # Word vectors come from elsewhere at full size; here they must be learned.
    "recurrent": {"embedding": 32, "hidden": 64, "dropout": 0.0, "train_embedding": True},
    "gpt_prefix": {
        "prefix": 4,
        "clip_length": 4,
        "mapper_layers": 2,
        "mapper_heads": 4,
        "width": 64,
        "layers": 2,
        "heads": 4,
        "positions": 128,
        "dropout": 0.0,
    },
    "transformer": {"width": 64, "layers": 2, "heads": 4, "inner": 128, "dropout": 0.0},
    "rudolph": {"codes": 64, "side": 8, "left": 4, "width": 64, "layers": 4, "heads": 1, "dropout": 0.0},
}
_TINY_WIDTHS = ("input", "grid", "head", "attention_width")  # of what a recurrent decoder may lack


def tiny(name: str, **decoder: Any) -> Preset:
    """The preset at a size that learns in seconds on a CPU. ``decoder``: settings of it to change besides."""
    full = preset(name)
    sizes = dict(_TINY_DECODERS[full.decoder.kind])
    if full.decoder.kind == "recurrent":
        sizes |= {width: 48 for width in _TINY_WIDTHS if width in full.decoder_config()}
        if full.decoder_config().get("attention"):
            sizes["hidden"] = 128  # it learns in a fifth of the steps
        if not full.decoder_config().get("linear", True):
            sizes["embedding"] = full.decoder_config()["picture"]
    if full.encoder.kind == "fasterrcnn_fpn":
        sizes["picture"] = 256  # of the one place that a small picture has
    if full.encoder.kind == "ruclip":
        sizes["pictures"] = [_TINY_ENCODERS["ruclip"]["embed_dim"]]
    encoder = _TINY_ENCODERS.get(full.encoder.kind, _SMALL_PICTURE)
    return full.changed(encoder=encoder, decoder={**sizes, **decoder})


def tiny_model(name: str, folder: Path) -> CaptionModel:
    """The small preset, for the captions' vocabulary; a frozen language model already speaks."""
    torch.manual_seed(0)
    model = build(tiny(name), tokenizer=tokenizer_for(name, folder))
    if model.decoder.settings["kind"] == "gpt_prefix" and not model.decoder.settings["train_gpt"]:
        teach_to_speak(model)
    return model


def teach_to_speak(model: CaptionModel) -> None:
    """Trains the language model behind a frozen mapper: it learns what captions there are, from pictures that
    say which only in part, and is then frozen, as ruGPT-3 is when ClipCap starts."""
    gpt = model.decoder.get_submodule("gpt")
    gpt.requires_grad_(True)
    model.decoder.get_submodule("mapper").requires_grad_(False)
    codes = torch.randn(8, *model.encoder.widths, generator=torch.Generator().manual_seed(1))
    codes = codes / codes.norm(dim=1, keepdim=True) * 3
    for step, worst in enumerate(steps(model, lambda: codes, rate=3e-3), 1):
        if step % 25 == 0 and worst() < 0.03 and by_heart(model, codes):
            break
        assert step < 1500, "the language model did not learn to speak"
    gpt.requires_grad_(False)
    model.decoder.get_submodule("mapper").requires_grad_(True)
    for parameter in model.decoder.get_submodule("mapper").parameters():
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * parameter.std() * 0.5)
