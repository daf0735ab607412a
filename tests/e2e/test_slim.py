"""What `make run` installs is enough: a picture is answered by processes that can import nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from rapidfuzz import fuzz

from bot.sandbox import Sandbox
from bot.texts import sentences, texts
from inference.checkpoints.coco_objects import FILE
from tests.drawing import DEFAULT_WORDS, draw_meme, jpeg_bytes
from tests.e2e.processes import ROOT, default_settings, running
from tests.slim import hide


async def test_the_shipped_model_answers(sandbox: Sandbox, tmp_path: Path) -> None:
    found_first = {"PYTHONPATH": os.pathsep.join([str(hide(tmp_path)), str(ROOT)])}
    async with running(sandbox, tmp_path, default_settings() | found_first) as bot:
        await sandbox.send_photo(jpeg_bytes(draw_meme("caption_bar", width=640)))
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True), 120)
        (reply,) = sandbox.messages(by_bot=True)
        description = reply["text"].lower()
        assert len(description.split()) >= 5, bot.log()
        assert fuzz.partial_ratio(DEFAULT_WORDS["caption_bar"][0].lower(), description) >= 85
        assert "Traceback" not in bot.log()


async def test_a_model_that_pytorch_runs_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """The person reads that it is out of order, the operator what to type."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / FILE).write_bytes(b"weights")
    settings = {
        "PYTHONPATH": os.pathsep.join([str(hide(tmp_path)), str(ROOT)]),
        "MODEL": "coco-objects",
        "MODELS_DIR": str(tmp_path / "models"),
    }
    async with running(sandbox, tmp_path, settings) as bot:
        await sandbox.send_photo(jpeg_bytes(draw_meme("photo", width=640)))
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True), 120)
        (reply,) = sandbox.messages(by_bot=True)
        assert reply["text"] == texts("ru")(sentences.OUT_OF_ORDER)
        assert 'install them with "make models".' in bot.log()
        assert "Traceback" not in bot.log()
