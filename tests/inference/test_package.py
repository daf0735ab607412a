"""The package's door: a model by name, in this process, without whatever the import does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import inference
from inference.common.types import CannotTalk, DecodingOptions, PictureError, UnknownModel
from inference.serving.local import LocalModel
from inference.serving.program import program
from tests.drawing import draw_meme, jpeg_bytes

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return inference.load("meme-small", CHECKPOINTS)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, inference; print(*({'torch', 'numpy', 'PIL', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_file_is_described_with_everything_that_the_chat_is_told(model: LocalModel, tmp_path: Path) -> None:
    path = tmp_path / "meme.gif"
    frames = [draw_meme("caption_bar", "Когда кот проснулся", mood=mood) for mood in ("awake", "sleepy")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    caption = model.caption_file(str(path))
    assert "кот проснулся" in caption.text.lower()
    assert "first_frame" in caption.notes
    assert caption.checkpoint == model.checkpoint
    assert caption.program == program()
    assert {"decode", "read", "generate", "total"} <= set(caption.seconds)
    greedy = model.caption_bytes(path.read_bytes(), DecodingOptions("greedy"))
    assert greedy.options.strategy == "greedy"


def test_what_is_no_picture_gets_one_sentence(model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"cannot be read \(No such file or directory\): check its name"):
        model.caption_file(tmp_path / "gone.jpg")
    whole = jpeg_bytes(draw_meme())
    with pytest.raises(PictureError, match="damaged or was not sent to its end"):
        model.caption_bytes(whole[: len(whole) // 20])
    with pytest.raises(PictureError) as refused:
        model.caption_bytes(b"")
    assert refused.value.code == "empty"


def test_a_model_that_only_describes_says_so_when_it_is_asked(model: LocalModel) -> None:
    with pytest.raises(CannotTalk, match="The model meme-small describes pictures and answers no questions"):
        model.ask_bytes(jpeg_bytes(draw_meme()), "Кто это?")
    asked = DecodingOptions("own", question="Кто это?")
    assert model.caption_bytes(jpeg_bytes(draw_meme()), asked).options.question == ""


def test_a_name_that_no_model_has_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownModel, match="meme-small"):
        inference.load("meme-smal", CHECKPOINTS)
