"""What the tests of train_scripts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.train_scripts.forked import Commands, commands


@pytest.fixture(scope="session")
def command() -> Iterator[Commands]:
    """Runs commands in processes of their own that need not import PyTorch first."""
    with commands() as asked:
        yield asked
