"""A server that nobody here wrote: ``transformers serve``, with a tiny vision model of random weights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.captioners.captioner import load_captioner
from inference.checkpoints import served
from inference.common.types import Asked, EngineError, Turn
from tests.drawing import draw_meme
from tests.inference.captioners.chat.test_served import end
from tests.inference.hub_cache import publish, save_qwen_vl

PATIENCE = 200.0  # seconds: it imports all of transformers
COMMAND = "from transformers.cli.transformers import main; main()"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where it listens, ready."""
    cache = tmp_path / "hub"
    publish(cache, "tiny/qwen", save_qwen_vl)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--port", str(port), "--device", "cpu"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def test_pictures_go_in_and_words_come_out(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_MAX_TOKENS", "16")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    served._server.cache_clear()
    captioner = load_captioner("openai:tiny/qwen", tmp_path, threads=1)
    meme, other = draw_meme("caption_bar", "Когда кот проснулся"), draw_meme("photo")
    images = [meme.convert("RGB"), other.convert("RGB"), meme.convert("RGB")]
    first, second, again = captioner.caption(images)
    assert first.text == again.text != second.text  # it is the picture that they depend on
    assert len(first.checkpoint) == 64
    assert first.words == ("Когда кот проснулся",)
    answer = captioner.ask(images[0], Asked("Кто это?", (Turn("", first.text),)))
    assert answer.text
    assert answer.text != first.text
    with pytest.raises(EngineError) as raised:
        load_captioner("openai:tiny/none", tmp_path, threads=1).caption(images[:1])
    assert "\n" not in str(raised.value)
    end()
