"""CLIPScore (Hessel et al., 2021) with ruCLIP: how well a caption fits its picture, without any reference.

2.5 * max(cos, 0) of the two embeddings; the mean over pictures. As in the paper the words are not weighed
against the length; unlike there nothing is put before the caption ("A photo depicts" is English), and what
exceeds ruCLIP's 77 tokens is cut off, so of a long description only the beginning counts. ruCLIP hardly reads
words on pictures: the score says how well the rest is described. An empty caption gets 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from inference.checkpoints.weight_files.state import ImportFailed
from inference.common.errors import UserError
from inference.common.file_names import picture_of
from inference.common.types import PictureError
from inference.encoders.ruclip import BOS, EOS, PAD
from inference.encoders.ruclip_files import import_ruclip
from inference.pictures.opening import load_picture
from train_scripts.metrics.evaluator import MEAN, Measure
from train_scripts.pictures import picture_bytes

__all__ = ["CLIP_SCORE", "ClipScorer", "Embedded", "find_ruclip"]

CLIP_SCORE = Measure("clip_score", "CLIPScore", "higher", MEAN)

_WEIGHT = 2.5
_BATCH = 16


def find_ruclip(models_dir: Path) -> Path | None:
    """The first folder in `models_dir` that holds a ruCLIP as it comes from the hub; None: there is none."""
    folders = sorted(models_dir.glob("*ruclip*")) if models_dir.is_dir() else []
    return next(
        (f for f in folders if (f / "pytorch_model.bin").is_file() and (f / "bpe.model").is_file()), None
    )


@dataclass(frozen=True, slots=True)
class Embedded:
    """Pictures as the vision tower sees them: unit vectors by name, and why the others could not be read."""

    vectors: Mapping[str, Tensor]
    refused: Mapping[str, str]


class ClipScorer:
    """Both towers of a ruCLIP. Raises UserError when `folder` holds no whole one."""

    def __init__(self, folder: Path) -> None:
        try:
            found = import_ruclip(folder)
        except (FileNotFoundError, ImportFailed, ValueError) as error:
            raise UserError(str(error)) from None
        if found.tokenizer is None:
            raise UserError(f"{folder} has no bpe.model, which ruCLIP reads captions with: put it there.")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = found.model.to(self._device).eval()
        self._preprocessing = found.preprocessing
        self._tokenizer = found.tokenizer

    @torch.inference_mode()
    def pictures(self, folder: Path, names: Iterable[str]) -> Embedded:
        """Embeds the pictures `folder / name`."""
        refused: dict[str, str] = {}
        vectors: dict[str, Tensor] = {}
        for batch in _batches(tqdm(list(names), desc="CLIPScore", unit="picture", disable=None)):
            pixels: dict[str, Tensor] = {}
            for name in batch:
                path = picture_of(folder, name)
                try:
                    image = load_picture(picture_bytes(path)).image
                except OSError as error:
                    refused[name] = f"{path} cannot be read ({error.strerror})."
                except PictureError as error:
                    refused[name] = f"{path}: {error}"
                else:
                    pixels[name] = torch.from_numpy(self._preprocessing([image])[0])
            if pixels:
                seen = self._model.encode_image(torch.stack(list(pixels.values())).to(self._device))
                vectors.update(zip(pixels, functional.normalize(seen.float(), dim=-1).cpu(), strict=True))
        return Embedded(vectors, refused)

    @torch.inference_mode()
    def scores(self, pictures: Embedded, captions: Mapping[str, str]) -> dict[str, float]:
        """CLIPScore of each caption, 0..2.5; NaN where the picture could not be read."""
        scores = {name: 0.0 if name in pictures.vectors else float("nan") for name in captions}
        said = [name for name, text in captions.items() if text.strip() and name in pictures.vectors]
        for batch in _batches(said):
            texts = self._model.encode_text(self._tokens([captions[name] for name in batch]))
            texts = functional.normalize(texts.float(), dim=-1).cpu()
            cosines = (torch.stack([pictures.vectors[name] for name in batch]) * texts).sum(dim=-1)
            scores.update(zip(batch, (_WEIGHT * cosines.clamp(min=0)).tolist(), strict=True))
        return scores

    def _tokens(self, texts: list[str]) -> Tensor:
        longest = self._model.config.context_length
        rows = [[BOS, *self._tokenizer.encode(text)[: longest - 2], EOS] for text in texts]
        width = max(map(len, rows))
        return torch.tensor([row + [PAD] * (width - len(row)) for row in rows], device=self._device)


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
