"""What training calls: sentences as batches, the loss, and what the encoder saw kept between epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from inference.caption_model import CaptionModel
from inference.decoders.base import IGNORED
from inference.presets import build
from tests.inference.learning import CAPTIONS, pictures, smoke_model, tokenizer_for

FAMILIES = [
    "resnet34-lstm",
    "resnet101-lstm-navec",
    "mobilenet-soft-attention",
    "clipcap-mlp-tuned",
    "gpt2-inception-prefix",
    "gpt2-resnet-multilayer-prefix",
    "rudolph",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small models lose more to waiting for one another's threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_of(name: str, folder: Path, **decoder: object) -> CaptionModel:
    torch.manual_seed(0)
    return build(name, tokenizer=tokenizer_for(name, folder), smoke=True, **decoder).eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_feeds_every_token_and_teaches_every_word_and_the_end(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path)
    tokenizer, special = model.tokenizer, model.special
    assert tokenizer is not None
    batch = model.batch(CAPTIONS[:3])
    rows = [tokenizer.encode(caption) for caption in CAPTIONS[:3]]
    longest = max(map(len, rows))
    assert batch.tokens.shape == batch.targets.shape == (3, longest + 1)
    for row, fed, learned in zip(rows, batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        padding = longest - len(row)
        assert fed == [special.bos, *row, *[special.pad] * padding]
        assert learned == [*row, special.eos, *[IGNORED] * padding]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_counts_no_padding_and_takes_what_the_encoder_saw(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path)
    pixels = model.encoder.preprocessing(pictures()[:3])
    with torch.no_grad():
        seen = model.encoder(pixels)
    batch = model.batch(CAPTIONS[3:6])
    loss = model.loss(seen, batch)
    torch.testing.assert_close(loss, model.loss(pixels, batch))
    torch.testing.assert_close(model(seen, batch.tokens), model(pixels, batch.tokens))
    if name != "rudolph":  # its loss has parts of its own, which its own tests know
        counted = batch.targets != IGNORED
        likely = model(seen, batch.tokens).log_softmax(-1)[counted]
        expected = -likely[torch.arange(len(likely)), batch.targets[counted]].mean()
        torch.testing.assert_close(loss, expected)
    # More padding is no other loss.
    wider = type(batch)(
        functional.pad(batch.tokens, (0, 3), value=model.special.pad),
        functional.pad(batch.targets, (0, 3), value=IGNORED),
    )
    torch.testing.assert_close(model.loss(seen, wider), loss)
    # Every part that should learn gets a gradient from it.
    model.train()
    model.loss(seen, batch).backward()
    without = [n for n, p in model.decoder.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad is None for p in model.encoder.parameters())


@pytest.mark.parametrize(("name", "decoder"), [("rudolph", {"right": 6}), ("clipcap-mlp", {"positions": 9})])
def test_a_caption_too_long_for_the_decoder_is_cut_and_does_not_end(
    name: str, decoder: dict[str, int], tmp_path: Path
) -> None:
    model = model_of(name, tmp_path, **decoder)
    batch = model.batch(CAPTIONS[3:4])
    assert batch.tokens.shape == (1, 6)
    assert model.special.eos not in batch.targets
    assert model.loss(model.encoder.preprocessing(pictures()[:1]), batch).isfinite()


def test_a_model_that_needs_no_tokenizer_says_when_it_does(tmp_path: Path) -> None:
    model = smoke_model("mobilenet-soft-attention", tmp_path)
    model.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer: load it from a whole checkpoint"):
        model.batch(CAPTIONS)
