"""From bytes to reply, and from the table to the step, each fact of a picture is found once."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from PIL import Image, ImageDraw

from inference.captioners.building import build, make_tokenizer
from inference.captioners.captioner import Captioner, load_captioner
from inference.common.types import DecodingOptions
from inference.pictures.opening import load_picture
from inference.presets.preset import preset
from inference.reading.frames import find_frames
from inference.reading.layout import arrange, by_frames
from inference.reading.lines import blocks_of
from inference.reading.listing import select
from inference.reading.ocr import Ocr
from inference.reading.reader import Reader
from inference.reading.scorer import scored
from tests.drawing import draw_meme, font, png_bytes
from tests.inference.learning import tiny
from tests.train_scripts.drawn_data import small_config
from train_scripts.data.dataset import read_split
from train_scripts.meme_small.data import load_examples
from train_scripts.meme_small.readings import kept_words, read_kept
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.training.config import load_config
from train_scripts.training.inputs import Inputs, read_stage, stage_readings

MODELS = Path(__file__).resolve().parents[2] / "checkpoints"
FACTS = (scored, select, find_frames, arrange, by_frames, blocks_of)
PICTURES = {
    "bar.png": draw_meme("caption_bar"),
    "two.png": draw_meme("two_frames"),
    "wordless.png": draw_meme("photo"),
}
ONCE = {fact.__name__: len(PICTURES) for fact in FACTS}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each fact is found, whoever asks for it."""
    counts: Counter[str] = Counter()

    def counting(fact: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*values: Any, **settings: Any) -> Any:
            counts[fact.__name__] += 1
            return fact(*values, **settings)

        return counted

    modules = [
        module for name, module in sys.modules.items() if name.startswith(("inference.", "train_scripts."))
    ]
    for fact in FACTS:
        counted = counting(fact)
        for module in modules:
            if getattr(module, fact.__name__, None) is fact:
                monkeypatch.setattr(module, fact.__name__, counted)
    yield counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with its words kept."""
    folder = tmp_path_factory.mktemp("once") / "data"
    folder.mkdir()
    ocr = Ocr()
    rows, kept = [], []
    for name, image in PICTURES.items():
        (folder / name).write_bytes(png_bytes(image))
        rows.append(json.dumps({"file_name": name, "text": "Рыжий кот сидит на окне."}) + "\n")
        kept.append(json.dumps(kept_words(name, image, ocr.read(image))) + "\n")
    (folder / "train.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "val.jsonl").write_text(rows[0], encoding="utf-8")
    (folder / "readings.jsonl").write_text("".join(kept), encoding="utf-8")
    return folder


def opened(folder: Path) -> list[Image.Image]:
    return [load_picture((folder / name).read_bytes()).image for name in PICTURES]


def with_slots() -> Captioner:
    """An untrained preset that is told the lines."""
    name = "mobilenet-soft-attention"
    tokenizer = make_tokenizer(preset(name), ["Надпись «Ура»."] * 6, words="slots")
    model = build(tiny(name), tokenizer=tokenizer, words="slots").eval()
    return Captioner(name, "0" * 64, model, Reader(), DecodingOptions("greedy", max_tokens=8), translate=same)


def same(texts: Sequence[str]) -> list[str]:
    return list(texts)


@pytest.mark.parametrize("load", [lambda: load_captioner("meme-small", MODELS), with_slots])
def test_a_picture_that_is_served_is_read_once(
    load: Callable[[], Captioner], folder: Path, found: Counter[str]
) -> None:
    captions = load().caption(opened(folder))
    assert [bool(caption.words) for caption in captions] == [True, True, False]
    assert found == ONCE


def test_where_more_stands_than_the_message_each_selection_is_put_in_order_once(
    found: Counter[str],
) -> None:
    """The numbers of a table are listed, and nobody would quote them."""
    image = Image.new("RGB", (800, 600), "white")
    for row, text in enumerate(("57 48 39", "12 35 47")):
        for column, number in enumerate(text.split()):
            place = (150 + 250 * column, 150 + 150 * row)
            ImageDraw.Draw(image).text(place, number, fill="black", font=font(44), anchor="mm")
    reading = Reader().read(image)
    assert [block.text for block in reading.listed_blocks] == ["57 48 39", "12 35 47"]
    assert reading.listed != reading.lines
    assert found == {fact.__name__: 2 if fact in {arrange, by_frames, blocks_of} else 1 for fact in FACTS}


def test_a_picture_that_the_shipped_recipe_learns_is_read_once(folder: Path, found: Counter[str]) -> None:
    kept = read_kept(folder / "readings.jsonl")
    examples = load_examples(read_split(folder, "train"), kept, ContentLemmas())
    assert [len(one.features) > 0 for one in examples] == [True, True, False]
    assert found == ONCE


def test_a_picture_that_a_preset_learns_is_read_once(folder: Path, found: Counter[str]) -> None:
    path = small_config(
        folder, words="slots", readings={"drawn": str(folder / "readings.jsonl")}, cache="off"
    )
    config = load_config(path)
    data = {"drawn": read_stage(config, "drawn")}
    readings = stage_readings(config, data)
    name = "mobilenet-soft-attention"
    tokenizer = make_tokenizer(preset(name), [row.text for row in data["drawn"].train], words="slots")
    model = build(tiny(name), tokenizer=tokenizer, words="slots")
    with ThreadPoolExecutor(1) as pool:
        inputs = Inputs(config, data, model, readings=readings, accelerator=Accelerator(cpu=True), pool=pool)
        for epoch in ("first", "second"):
            (parts,) = [inputs.parts("drawn", rows, epoch) for rows in inputs.steps("drawn", epoch)]
            assert sum(len(part.weights) for part in parts) == len(PICTURES)
    assert found == ONCE
