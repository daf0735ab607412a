"""TensorBoard's curves of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from inference.common.errors import UserError

__all__ = ["Board"]


class Board:
    """Raises UserError, one sentence, when the disk is full."""

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        """``purge_step``: curves that are there already end before it."""
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._former = threading.excepthook
        threading.excepthook = self._heard
        try:
            with self._told():
                self._writer = SummaryWriter(str(folder), purge_step=purge_step)
        except UserError:
            self.close()
            raise

    def show(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to the curve of each key."""
        if self._writer is not None:
            with self._told():
                for key, value in values.items():
                    self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        """Once is enough; more do no harm."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                with self._told():
                    writer.close()
        finally:
            threading.excepthook = self._former

    def _heard(self, error: threading.ExceptHookArgs) -> None:
        """The thread that writes hands its error to whoever writes next: it need not be told twice."""
        if not isinstance(error.exc_value, OSError):
            self._former(error)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"The curves cannot be written to {self._folder} ({error.strerror or error}): make room "
                "there and go on with --resume."
            ) from error
