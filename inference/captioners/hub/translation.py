"""English to Russian with a translation model of the hub: MarianMT, as Helsinki-NLP/opus-mt-en-ru."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inference.captioners.hub.loading import HubError, load_model, load_part
from inference.checkpoints.hub import fetch
from inference.checkpoints.names import HubModel

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+(?=[^a-z\s])")
_EXAMPLE = "Helsinki-NLP/opus-mt-en-ru"
_RUSSIAN = ">>rus<<"  # models for several languages are told which one by this word before the sentence


class Translator:
    """A translation model ready for use; not thread-safe.

    Args:
        model: what is not on this machine is fetched.
        models_dir: looked into before the hub's cache; None = the cache only.
        beams: hypotheses kept while searching; None = as many as the model's own settings say.
        device: of torch; None = a GPU where there is one.
        batch_size: sentences that go through the model together.

    Raises:
        UnknownModel: the model is neither here nor to be had.
        HubError: its files are damaged, or it is no such model.
    """

    def __init__(
        self,
        model: HubModel,
        models_dir: Path | None = None,
        *,
        beams: int | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer, MarianMTModel  # noqa: PLC0415 - a slow import

        snapshot = fetch(model, models_dir)
        self.name = str(model)
        self.checkpoint = snapshot.name  # the commit, 40 hexadecimal digits
        self.batch_size = batch_size
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        kind = load_part(AutoConfig, snapshot, model).model_type
        if kind != "marian":
            raise HubError(f"{model} is of the kind {kind!r}, no MarianMT: choose another, as {_EXAMPLE}.")
        self._model = load_model(MarianMTModel, snapshot, model, dtype=torch.float32).to(self._device)
        self._tokenizer: Any = load_part(AutoTokenizer, snapshot, model)
        self._options: dict[str, Any] = {"do_sample": False} | ({} if beams is None else {"num_beams": beams})
        known = self._tokenizer.get_vocab()
        self._prefix = f"{_RUSSIAN} " if _RUSSIAN in known else ""
        if not self._prefix and any(re.fullmatch(r">>\w+<<", word) for word in known):
            raise HubError(f"{model} does not translate into Russian: choose another, as {_EXAMPLE}.")

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The texts in Russian, one each, in order; a blank one stays blank.

        Each is translated sentence by sentence, as such models were trained; a sentence that occurs often is
        translated once. What is longer than the model can read is cut there.
        """
        split = [_SENTENCE_END.split(text.strip()) if text.strip() else [] for text in texts]
        # Those of like length together: less padding, and the longest first shows early whether memory lasts.
        todo = sorted({one for sentences in split for one in sentences}, key=lambda one: (-len(one), one))
        done: dict[str, str] = {}
        for start in range(0, len(todo), self.batch_size):
            batch = todo[start : start + self.batch_size]
            done.update(zip(batch, self._translate(batch), strict=True))
        return [" ".join(filter(None, (done[one] for one in sentences))) for sentences in split]

    def _translate(self, sentences: list[str]) -> list[str]:
        inputs = self._tokenizer(
            [self._prefix + sentence for sentence in sentences],
            padding=True,
            truncation=True,
            max_length=self._model.config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, **self._options)
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]
