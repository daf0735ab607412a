"""The package's door: a model by name, in this process, without whatever the import does not need."""

from __future__ import annotations

import os
import shutil
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


SPENT_BY_OTHER_THREADS = """
import os, sys, psutil, inference
model = inference.load(sys.argv[1], sys.argv[2], threads=1)

def spent():
    threads = psutil.Process().threads()
    return sum(thread.user_time + thread.system_time for thread in threads if thread.id != os.getpid())

model.caption_file(sys.argv[3])
before = spent()
for _ in range(2):
    model.caption_file(sys.argv[3])
print(spent() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="which thread spent what is told on Linux")
@pytest.mark.parametrize("name", ["meme-small", "lstm-navec-small"])
def test_one_thread_means_one_in_a_program_whose_numpy_has_more(name: str, tmp_path: Path) -> None:
    path = tmp_path / "meme.jpg"
    path.write_bytes(jpeg_bytes(draw_meme("tweet")))
    done = subprocess.run(
        [sys.executable, "-c", SPENT_BY_OTHER_THREADS, name, CHECKPOINTS, path],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == 0


def test_threads_of_pytorch_do_not_wait_awake_for_long(tmp_path: Path) -> None:
    shutil.copytree(
        CHECKPOINTS / "lstm-navec-small", tmp_path / "run-by-torch", ignore=shutil.ignore_patterns("graphs")
    )
    code = "import sys, inference; inference.load('run-by-torch', sys.argv[1]); assert 'torch' in sys.modules"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={**environment, "OMP_DISPLAY_ENV": "VERBOSE"},  # OpenMP tells what it was told
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GOMP_SPINCOUNT = '3000'" in done.stderr


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
