"""English captions in Russian, by a translation model of the hub. What is translated is kept in a file, so
that nothing is translated twice: not after an interruption, nor for another data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from train_scripts.data.journal import append_rows, kept_rows

__all__ = ["Translates", "translate"]

_BATCH = 64  # captions between two writes to the file


class Translates(Protocol):
    """What is asked of a translation model, such as `inference.captioners.hub.translation.Translator`."""

    def translate(self, texts: Sequence[str]) -> list[str]:
        """One translation for each text, in order."""
        ...


def text_key(text: str, model: str) -> str:
    """What a translation is found by."""
    return hashlib.sha256(f"{model}\0{text}".encode()).hexdigest()


def translate(
    texts: Iterable[str], model: str, cache: Path, load: Callable[[], Translates]
) -> dict[str, str]:
    """The Russian of each text, by the text. `model`: the name that translations are kept under in the file
    `cache`; `load` is called only where something is not in it yet. Raises what `load` raises, OSError,
    and UserError where the file is damaged.
    """
    wanted = list(dict.fromkeys(texts))
    kept = kept_rows(cache, "model", "key", "text")
    known = {row["key"]: row["text"] for row in kept if row["model"] == model}
    missing = [text for text in wanted if text_key(text, model) not in known]
    if missing:
        translator = load()
        # Texts of like length together: a batch costs what its longest text costs.
        missing.sort(key=len)
        with tqdm(total=len(missing), desc="Translating", unit="caption", disable=None) as bar:
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                russian = translator.translate(batch)
                rows = [
                    {"model": model, "key": text_key(text, model), "original": text, "text": result}
                    for text, result in zip(batch, russian, strict=True)
                ]
                append_rows(cache, rows)
                known.update((row["key"], row["text"]) for row in rows)
                bar.update(len(batch))
    return {text: known[text_key(text, model)] for text in wanted}
