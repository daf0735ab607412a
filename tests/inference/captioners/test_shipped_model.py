"""The model that ships: small, whole, offline; it reads drawn memes and quotes nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open

from inference.captioners.captioner import Captioner, load_captioner
from inference.checkpoints import manifest
from inference.checkpoints.format import read_config, read_training
from inference.checkpoints.models import model_info
from inference.checkpoints.names import ModelName
from inference.common.quoting import unquoted
from inference.common.types import DecodingOptions, Detail
from tests.drawing import Kind, draw_meme, font

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
FOLDER = CHECKPOINTS / "meme-small"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return load_captioner("meme-small", CHECKPOINTS, threads=1)


def letters(text: str) -> str:
    return re.sub(r"[^а-яёa-z0-9]", "", text.lower())


def quotations(text: str) -> list[str]:
    assert text.count('"') % 2 == 0, text
    return re.findall(r'"([^"]*)"', text)


def test_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 25_000_000
    assert {path.name for path in FOLDER.iterdir()} == {
        "README.md",
        "concepts.json",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "training.json",
    }
    assert len((FOLDER / "config.json").read_text(encoding="utf-8").splitlines()) <= 80
    assert read_config(FOLDER).architecture == "meme-small"
    record = read_training(FOLDER)
    assert record.training["recipe"]["seed"] == 7
    assert record.scores["bleu4"]["value"] >= 0.28
    assert record.scores["meteor"]["value"] >= 0.44
    assert set(manifest.read_manifest(FOLDER)) == {"concepts.json", "model.safetensors", "tokenizer.json"}
    assert manifest.mismatch(FOLDER) == ""
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert all(torch.isfinite(weights.get_tensor(name).float()).all() for name in weights.keys())  # noqa: SIM118
    assert model_info(CHECKPOINTS, ModelName.parse("meme-small")).description


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("caption_bar", ["Когда кот проснулся"]),
        ("tweet", ["Сегодня ничего не случилось и это было прекрасно"]),
    ],
)
def test_reads_the_words_and_quotes_them(captioner: Captioner, kind: Kind, words: list[str]) -> None:
    (caption,) = captioner.caption([draw_meme(kind, *words)])
    told = letters(" ".join(quotations(caption.text)))
    for word in words:
        assert letters(word) in told, caption.text


def test_quotes_nothing_that_was_not_read(captioner: Captioner) -> None:
    images = [draw_meme(kind) for kind in ("caption_bar", "two_frames", "tweet")]
    for caption in captioner.caption(images):
        read = letters(" ".join(caption.words))
        for quotation in quotations(caption.text):
            assert letters(quotation) in read


@pytest.mark.parametrize("kind", ["caption_bar", "two_frames", "tweet", "photo"])
def test_the_three_lengths_say_each_word_once(captioner: Captioner, kind: Kind) -> None:
    image = draw_meme(kind)
    told = {}
    for detail in get_args(Detail):
        (caption,) = captioner.caption([image], DecodingOptions("own", detail=detail))
        told[detail] = caption.text
        assert unquoted(caption.text, caption.words) == [], caption.text
        quoted = letters("".join(quotations(caption.text)))
        assert quoted == letters("".join(word for word in caption.words if not word.startswith("@")))
        sentences = re.findall(r'(?:"[^"]*"|[^".])+', caption.text)
        assert len({*map(str.strip, sentences)}) == len(sentences), caption.text
    assert len(told["short"]) <= len(told["usual"]) < len(told["detailed"])
    (apart,) = captioner.caption([image], DecodingOptions("own", quoting=False))
    assert quotations(apart.text) == []


def test_a_picture_without_words_is_described_without_quotations(captioner: Captioner) -> None:
    (caption,) = captioner.caption([draw_meme("photo")])
    assert caption.words == ()
    assert quotations(caption.text) == []
    assert caption.text.endswith(".")


@pytest.mark.parametrize("colour", ["white", "black", "#5a7828"])
def test_of_an_empty_picture_nothing_is_made_up(captioner: Captioner, colour: str) -> None:
    (caption,) = captioner.caption([Image.new("RGB", (600, 600), colour)])
    assert caption.text == "Картинка без надписей."


def test_only_words(captioner: Captioner) -> None:
    image = Image.new("RGB", (700, 500), "white")
    draw = ImageDraw.Draw(image)
    sentence = ["Сначала мы долго думали,", "потом мы долго смеялись,", "а потом пошли домой."]
    for row, line in enumerate(sentence):
        draw.text((40, 60 + 90 * row), line, fill="black", font=font(36))
    (caption,) = captioner.caption([image])
    assert letters("".join(sentence)) in letters(" ".join(quotations(caption.text)))
    assert "Текст" in caption.summary


def page(*lines: str, size: tuple[int, int] = (760, 420), step: int = 120, points: int = 40) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((size[0] // 18, step // 3 + step * row), line, fill="black", font=font(points))
    return image


@pytest.mark.parametrize("angle", [5, -12, 30, 90])
def test_rotated_words_are_read(captioner: Captioner, angle: int) -> None:
    words = "КОГДА ВСЁ ПОШЛО НЕ ТАК"
    image = page("", "", words, size=(760, 760), step=170)
    (caption,) = captioner.caption([image.rotate(angle, fillcolor="white")])
    assert letters(words) in letters(" ".join(quotations(caption.text))), caption.text


def test_three_languages_are_quoted_as_they_are(captioner: Captioner) -> None:
    lines = ("Доброе утро, соседи", "Good morning, neighbours", "Guten Morgen, liebe Nachbarn")
    (caption,) = captioner.caption([page(*lines)])
    told = letters(" ".join(quotations(caption.text)))
    for line in lines:
        assert letters(line) in told, caption.text


def test_the_words_of_twenty_frames_are_all_quoted_in_their_order(captioner: Captioner) -> None:
    words = ["дом", "лес", "сад", "море", "гора", "река", "поле", "сон", "утро", "вечер"]
    words += ["зима", "лето", "кот", "пёс", "мышь", "чай", "хлеб", "соль", "окно", "дверь"]
    image = Image.new("RGB", (1000, 1250), "white")
    draw = ImageDraw.Draw(image)
    for number, word in enumerate(words):
        x, y = number % 4 * 250 + 8, number // 4 * 250 + 8
        draw.rectangle((x, y, x + 234, y + 234), fill=(60 + 7 * number, 90, 190 - 6 * number))
        draw.ellipse((x + 60, y + 90, x + 170, y + 200), fill=(220, 200 - 8 * number, 80))
        draw.text((x + 20, y + 20), word.upper(), "white", font(36), stroke_width=2, stroke_fill="black")
    (caption,) = captioner.caption([image])
    told = [letters(word) for quotation in quotations(caption.text) for word in quotation.split()]
    found = [word for word in words if letters(word) in told]
    assert len(found) >= 18, caption.text
    assert [word for word in told if word in words] == [letters(word) for word in found]


def test_small_and_tall_pictures_are_read(captioner: Captioner) -> None:
    (small,) = captioner.caption([page("Утро доброе", size=(200, 150), points=24)])
    assert letters("Утро доброе") in letters(" ".join(quotations(small.text)))
    numbers = ("один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять")
    rows = [f"Строка номер {number}" for number in numbers]
    (tall,) = captioner.caption([page(*rows, size=(700, 4000), step=390)])
    assert letters("".join(rows)) == letters(" ".join(quotations(tall.text)))


@pytest.mark.parametrize("size", [(200, 150), (700, 4000), (4000, 60), (1, 1)])
def test_every_size_gets_a_sentence(captioner: Captioner, size: tuple[int, int]) -> None:
    (caption,) = captioner.caption([Image.new("RGB", size, (90, 140, 70))])
    assert caption.text.endswith(".")
    assert 0 <= caption.confidence <= 1


def test_the_same_picture_gets_the_same_caption_alone_and_in_a_batch(captioner: Captioner) -> None:
    images = [draw_meme(kind) for kind in ("caption_bar", "photo", "tweet")]
    together = [caption.text for caption in captioner.caption(images)]
    assert together == [captioner.caption([image])[0].text for image in images]


def test_another_variant_still_quotes_everything(captioner: Captioner) -> None:
    image = draw_meme("two_frames")
    options = DecodingOptions(strategy="sample", top_p=0.9, seed=3)
    (caption,) = captioner.caption([image], options)
    told = letters(" ".join(quotations(caption.text)))
    for words in caption.words:
        assert letters(words) in told
