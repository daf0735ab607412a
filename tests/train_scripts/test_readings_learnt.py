"""What a model learns of a picture is what it is given when it serves, whatever trains it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.captioners.meme_small.describer import SlotDescriber
from inference.captioners.meme_small.memory import collate, line_word_ids
from inference.checkpoints.format import read_config
from inference.pictures.opening import load_picture
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from tests.drawing import draw_meme, font, png_bytes
from tests.forked import Commands
from tests.train_scripts.drawn_data import small_config
from train_scripts.data.dataset import read_split
from train_scripts.feedback.pictures import read_pictures
from train_scripts.meme_small.data import Example, load_examples
from train_scripts.meme_small.readings import read_kept
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.pictures import UnreadablePicturesError
from train_scripts.training.config import load_config
from train_scripts.training.inputs import read_stage, stage_readings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "checkpoints" / "meme-small"
WORDS = ("УТРО", "КОТ СПИТ", "ДЕНЬ", "КОТ ГУЛЯЕТ", "ВЕЧЕР", "КОТ ПОЁТ", "НОЧЬ", "КОТ ДУМАЕТ")
Readings = Mapping[str, Reading]


def panels(columns: int, rows: int, *, gap: int = 24) -> Image.Image:
    """Photos beside and above one another, each with a line at its top and one at its bottom."""
    day, night = draw_meme("photo", width=400), draw_meme("photo", width=400, mood="sleepy")
    width, height = day.size
    image = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for number in range(columns * rows):
        row, column = divmod(number, columns)
        panel = (night if number % 3 else day).copy()
        draw = ImageDraw.Draw(panel)
        for words, y, anchor in zip(WORDS[2 * number :], (24, height - 24), ("mt", "mb"), strict=False):
            draw.text(
                (width / 2, y), words, "white", font(40), anchor=anchor, stroke_width=4, stroke_fill="black"
            )
        image.paste(panel, (column * (width + gap), row * (height + gap)))
    return image


def under_a_bar(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (image.width, image.height + 90), "white")
    whole.paste(image, (0, 90))
    ImageDraw.Draw(whole).text((image.width / 2, 45), "ОДИН ДЕНЬ КОТА", "black", font(46), anchor="mm")
    return whole


PICTURES = {
    "one.png": panels(1, 1),
    "beside.png": panels(2, 1),
    "above.png": panels(1, 2),
    "three-beside.png": panels(3, 1),
    "three-above.png": panels(1, 3),
    "square.png": panels(2, 2),
    "barred.png": under_a_bar(panels(2, 1)),
    "wordless.png": draw_meme("photo", width=400),
}


@pytest.fixture(scope="module")
def folder(command: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with what `train_scripts read` wrote of it."""
    folder = tmp_path_factory.mktemp("readings") / "data"
    folder.mkdir()
    rows = []
    for name, image in PICTURES.items():
        (folder / name).write_bytes(png_bytes(image))
        rows.append(json.dumps({"file_name": name, "text": "Рыжий кот сидит на окне."}) + "\n")
    (folder / "train.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "val.jsonl").write_text(rows[0], encoding="utf-8")
    done = command("read", folder, "--out", folder / "readings.jsonl", "--processes", "1")
    assert done.status == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Readings:
    reader = Reader()
    return {name: reader.read(load_picture((folder / name).read_bytes()).image) for name in PICTURES}


def of_presets(folder: Path) -> Readings:
    path = small_config(folder, words="slots", readings={"drawn": str(folder / "readings.jsonl")})
    config = load_config(path)
    found = stage_readings(config, {"drawn": read_stage(config, "drawn")})
    assert found is not None
    return {picture.name: reading for picture, reading in found.items()}


def examples(folder: Path) -> list[Example]:
    kept = read_kept(folder / "readings.jsonl")
    return load_examples(read_split(folder, "train"), kept, ContentLemmas())


def of_the_shipped_recipe(folder: Path) -> Readings:
    return {one.file_name: one.reading for one in examples(folder)}


def of_feedback(folder: Path) -> Readings:
    kept = read_kept(folder / "readings.jsonl")
    return {one.name: one.reading for one in read_pictures(folder, PICTURES, kept, Reader(), "drawn")}


def of_feedback_without_readings(folder: Path) -> Readings:
    return {one.name: one.reading for one in read_pictures(folder, PICTURES, {}, Reader(), "drawn")}


@pytest.mark.parametrize(
    "learnt", [of_presets, of_the_shipped_recipe, of_feedback, of_feedback_without_readings]
)
def test_what_is_learnt_is_what_is_served(
    learnt: Callable[[Path], Readings], folder: Path, served: Readings
) -> None:
    assert dict(learnt(folder)) == dict(served)


def test_the_shipped_model_is_told_the_same_when_it_learns_and_when_it_serves(
    folder: Path, served: Readings
) -> None:
    model = SlotDescriber.load(SHIPPED, read_config(SHIPPED)).model
    for one in examples(folder):
        reading = served[one.file_name]
        image = reading.upright(load_picture((folder / one.file_name).read_bytes()).image)
        memory, probabilities = model.memory([image], [reading], np.zeros((1, 2, 1280), np.float32))
        words = line_word_ids(one.reading, model.tokenizer)
        learnt = collate(probabilities, model.parts.config.shown, [one.layout], [one.features], [words])
        for field in fields(memory):
            assert np.array_equal(getattr(learnt, field.name), getattr(memory, field.name)), field.name


@pytest.mark.parametrize(
    ("name", "frames"),
    [("one", 1), ("beside", 2), ("above", 2), ("three-beside", 3), ("three-above", 3), ("square", 4)],
)
def test_the_frames_are_those_drawn(name: str, frames: int, served: Readings) -> None:
    """So the tests above are of pictures of so many frames."""
    assert len(served[f"{name}.png"].frames) == frames


@pytest.mark.parametrize(
    ("name", "count"),
    [("one", 2), ("beside", 4), ("above", 4), ("three-beside", 6), ("three-above", 6), ("square", 8)],
)
def test_lines_are_served_frame_by_frame(name: str, count: int, served: Readings) -> None:
    """So the test above tells this order from that of the whole picture, in which rows go across frames."""
    texts = [line.text.upper() for line in served[f"{name}.png"].lines]
    places = [WORDS.index(text) for text in texts if text in WORDS]
    assert places == sorted(places)
    assert len(places) >= count - 1  # the recogniser may mistake one


def test_a_title_above_all_frames_comes_first(served: Readings) -> None:
    first, *rest = (line.text.upper() for line in served["barred.png"].lines)
    assert first == "ОДИН ДЕНЬ КОТА"
    assert rest.index("КОТ СПИТ") < rest.index("ДЕНЬ")


def test_a_picture_that_went_bad_since_it_was_read_is_named(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in PICTURES:
        (data / name).write_bytes((folder / name).read_bytes())
    for name in ("train.jsonl", "val.jsonl", "readings.jsonl"):
        (data / name).write_bytes((folder / name).read_bytes())
    (data / "square.png").write_bytes(b"no picture")
    with pytest.raises(UnreadablePicturesError, match=r"square\.png cannot be read"):
        of_presets(data)
