"""The recogniser's training: fonts with the characters, a head that keeps what it knows, where it goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from inference.common.errors import UserError
from inference.reading.ocr import WEIGHTS_FILE
from train_scripts.reader import pretrained, render, train
from train_scripts.reader.networks import LineRecognizer
from train_scripts.reader.text import CHARACTERS, Corpus

FONTS = Path("/usr/share/fonts")


def corpus(*quotes: str) -> Corpus:
    return Corpus(
        quotes=quotes,
        descriptions=quotes,
        captions=quotes,
        russian=["кот"],
        ukrainian=["їжак"],
        english=["cat"],
        english_weights=[1.0],
    )


def dejavu() -> Path:
    return next(FONTS.rglob("DejaVuSans.ttf"))


def test_a_font_says_which_characters_it_has() -> None:
    assert set("аяАЯazAZ09=&<>°іїєґўІЇЄҐЎ№₽") <= render.characters_of(dejavu())


def test_no_line_is_drawn_with_boxes_for_missing_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    known = render.characters_of(dejavu()) - set("іїєґўІЇЄҐЎ")
    monkeypatch.setattr(render, "characters_of", lambda path: known)
    renderer = render.LineRenderer(1, corpus("кот"), [dejavu()], [Image.new("RGB", (300, 200), "grey")])
    texts = [renderer.draw()[1] for _ in range(150)]
    assert all(known.issuperset(text) for text in texts)
    assert len(set(texts)) > 10


def test_a_new_head_keeps_what_it_knew_and_begins_the_rest_as_what_looks_alike() -> None:
    torch.manual_seed(0)
    characters = ["", " ", "i", "е", "щ"]
    network = LineRecognizer(len(characters))
    weights, biases = network.head.weight.clone(), network.head.bias.clone()
    head = train.with_own_head(network, characters).head
    assert head.weight.shape == (len(CHARACTERS) + 1, weights.shape[1])
    place = {character: number for number, character in enumerate(CHARACTERS, start=1)}
    for new, old in ((0, 0), (place[" "], 1), (place["щ"], 4), (place["і"], 2), (place["є"], 3)):
        assert torch.equal(head.weight[new], weights[old])
        assert torch.equal(head.bias[new], biases[old])


def test_training_goes_on_from_a_file_that_it_wrote(tmp_path: Path) -> None:
    detector, recognizer, characters = pretrained.load(WEIGHTS_FILE)
    assert characters[0] == "" and len(characters) == recognizer.head.out_features
    lines = [
        (Image.effect_noise((96, 48), 40).convert("RGB"), random.Random(n).choice("=&<>")) for n in range(24)
    ]
    data = train.batches(_Lines(lines), [], share=0.0, seed=1)  # type: ignore[arg-type]  # of a renderer nothing but its lines is wanted
    trained = train.train(train.with_own_head(recognizer, characters), data, lines=24)
    train.save(tmp_path / "own.safetensors", detector, trained)
    _, again, (_, *written) = pretrained.load(tmp_path / "own.safetensors")
    assert "".join(written) == CHARACTERS
    first = trained.head.weight.half().float()
    assert torch.equal(again.head.weight, first)


class _Lines:
    """A renderer of the same few lines."""

    def __init__(self, lines: list[tuple[Image.Image, str]]) -> None:
        self._lines = lines

    def draw(self) -> tuple[Image.Image, str]:
        return self._lines[0]


def test_a_damaged_file_to_go_on_from_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"own\.safetensors is no file that this command wrote, or damaged"):
        pretrained.load(path)
