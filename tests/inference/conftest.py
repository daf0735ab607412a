"""What the tests of inference share."""

from __future__ import annotations

from collections.abc import Iterator

import huggingface_hub.constants
import pytest
import torch


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The hub's client may not use the net, and finds nothing in its own cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("no-cache")))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch's threads wait for one another by spinning, which on a busy machine takes many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
