"""What training calls: sentences as batches, the loss, and what the encoder saw kept between epochs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED
from inference.decoding.search import Generated
from inference.encoders.base import Memory
from tests.inference.learning import CAPTIONS, pictures, tiny, tiny_model, tokenizer_for

FAMILIES = [
    "resnet34-lstm",
    "resnet101-lstm-navec",
    "mobilenet-soft-attention",
    "clipcap-mlp-tuned",
    "gpt2-inception-prefix",
    "gpt2-resnet-multilayer-prefix",
    "rudolph",
]


def model_of(name: str, folder: Path, **decoder: object) -> CaptionModel:
    torch.manual_seed(0)
    return build(tiny(name, **decoder), tokenizer=tokenizer_for(name, folder)).eval()


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
    pixels = model.encoder.pixels(pictures()[:3])
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
    assert model.loss(model.encoder.pixels(pictures()[:1]), batch).isfinite()


def test_a_model_that_needs_no_tokenizer_says_when_it_does(tmp_path: Path) -> None:
    model = tiny_model("mobilenet-soft-attention", tmp_path)
    model.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer: load it from a whole checkpoint"):
        model.batch(CAPTIONS)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_decoder_finds_alone_what_it_finds_in_company(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path)
    with torch.no_grad():
        for parameter in model.decoder.parameters():  # louder than at the start, so that tokens differ
            parameter.add_(torch.randn_like(parameter) * 0.1)
        memory = model.encoder(model.encoder.pixels(pictures()[:3]))
    for options in (
        DecodingOptions("greedy", min_tokens=3, max_tokens=7),
        DecodingOptions("beam", beams=3, min_tokens=3, max_tokens=7),
        DecodingOptions("beam", beams=5, max_tokens=7, length_penalty=0.5, no_repeat_ngram=2),
        DecodingOptions("sample", seed=4, top_p=0.9, max_tokens=7, repetition_penalty=1.2),
    ):
        together = model.generate(memory, options)
        again = model.generate(memory, options)
        assert again.tokens == together.tokens
        for i, tokens in enumerate(together.tokens):
            alone = model.generate(row_of(memory, i), options)
            assert alone.tokens == [tokens]
            assert alone.scores == pytest.approx([together.scores[i]], abs=1e-4)
            assert options.min_tokens <= len(tokens) <= options.max_tokens
            assert not {model.special.eos, *model.special.forbidden} & set(tokens)
    drawn = DecodingOptions("sample", max_tokens=7)
    seeds = [model.generate(memory, drawn, seeds=[seed] * 3).tokens[0] for seed in range(4)]
    assert len({tuple(tokens) for tokens in seeds}) > 1


@pytest.mark.parametrize(("finished", "said"), [(True, "Кот спит."), (False, "Кот спит")])
def test_an_end_that_is_a_word_belongs_to_the_sentence(
    finished: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The English ClipCap stops at a full stop, and its own code prints it."""
    model = model_of("clipcap-mlp", tmp_path)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    stop = tokenizer.encode(".")
    assert len(stop) == 1
    model.special = replace(model.special, eos=stop[0])
    found = Generated([tokenizer.encode("Кот спит")], [-1.0], [-3.0], [finished])
    monkeypatch.setattr(model, "generate", lambda *_: found)
    assert model.describe_memory(torch.zeros(1, 1), None, DecodingOptions())[0] == [said]
    model.special = replace(model.special, eos=tokenizer.eos)
    assert model.describe_memory(torch.zeros(1, 1), None, DecodingOptions())[0] == ["Кот спит"]


def row_of(memory: Memory, i: int) -> Memory:
    return tuple(level[i : i + 1] for level in memory) if isinstance(memory, tuple) else memory[i : i + 1]


PROMPTS = [[5, 6, 7], [8], [9, 4, 5, 6]]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "rudolph"])
def test_what_is_fed_before_the_sentence_may_be_longer_for_one_picture_than_for_another(
    name: str, tmp_path: Path
) -> None:
    """After prompts of three lengths, stepping says what the whole sentence at once does, row by row."""
    model = model_of(name, tmp_path)
    decoder, start = model.decoder, model.special.bos
    with torch.no_grad():
        memory = model.encoder(model.encoder.pixels(pictures()[:3]))
        rows = [[start, *prompt] for prompt in PROMPTS]
        lengths = torch.tensor([len(row) for row in rows])
        padded = torch.tensor([row + [0] * (5 - len(row)) for row in rows])
        state = decoder.feed(decoder.start(memory), padded, lengths)
        said = [[10, 11, 4], [5, 12, 8], [7, 7, 6]]
        for t in range(3):
            logits, state = decoder.step(state, torch.tensor([words[t] for words in said]))
            for i, row in enumerate(rows):
                whole = decoder(row_of(memory, i), torch.tensor([[*row, *said[i][: t + 1]]]))
                torch.testing.assert_close(logits[i], whole[0, -1], atol=1e-4, rtol=1e-4)
    for options in (DecodingOptions("greedy", max_tokens=6), DecodingOptions("beam", beams=3, max_tokens=6)):
        together = model.generate(memory, options, prompts=PROMPTS)
        for i, prompt in enumerate(PROMPTS):
            assert model.generate(row_of(memory, i), options, prompts=[prompt]).tokens == [together.tokens[i]]
    with pytest.raises(ValueError, match="each of the 3 pictures a prompt"):
        model.generate(memory, DecodingOptions(), prompts=[[1], [], [2]])
