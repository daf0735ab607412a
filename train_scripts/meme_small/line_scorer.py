"""Trains the model that tells print from specks (``inference/reading/line_scorer.json``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.reading.candidates import candidates
from inference.reading.scorer import FEATURES, SCORER_FILE, features
from train_scripts.meme_small.quotes import is_translated, match_line, normalise, quoted_spans
from train_scripts.meme_small.readings import Kept, words_from_row

_REAL = 0.6  # a line is print when this share of it stands in the quotes
_HIDDEN = 16


def examples(
    readings: Iterable[Kept], references: Mapping[str, str]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features (lines, FEATURES) and labels (lines,), 1 where the reference quotes the line.

    Pictures whose quotes are a translation say nothing about their lines and are left out. Raises
    UserError where no line is left.
    """
    values: list[np.ndarray[Any, Any]] = []
    labels: list[float] = []
    for row in readings:
        reference = references.get(row["file_name"])
        if reference is None or is_translated(reference):
            continue
        quote = [word for span in quoted_spans(reference) for word in normalise(span.text)]
        size = (row["size"][0], row["size"][1])
        lines = candidates(words_from_row(row), size)
        if not quote or not lines:
            continue
        matches = [match_line(normalise(line.text), quote)[0] for line in lines]
        if max(matches) < _REAL:
            continue
        values.append(features(lines, size))
        labels.extend(float(match >= _REAL) for match in matches)
    if not values:
        raise UserError(
            "No description quotes what was read on its picture: read the pictures of these rows with "
            f"'{PYTHON} -m train_scripts read'."
        )
    return np.concatenate(values), np.array(labels)


def train(
    values: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], *, epochs: int = 300, seed: int = 0
) -> dict[str, Any]:
    """One hidden layer, full-batch AdamW; returns what :func:`save` writes."""
    torch.manual_seed(seed)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale < 1e-6] = 1.0
    inputs = torch.tensor((values - mean) / scale, dtype=torch.float32)
    targets = torch.tensor(labels, dtype=torch.float32)
    first, last = nn.Linear(len(FEATURES), _HIDDEN), nn.Linear(_HIDDEN, 1)
    model = nn.Sequential(first, nn.ReLU(), last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs).squeeze(1), targets)
        loss.backward()
        optimizer.step()
        schedule.step()
    return {
        "features": list(FEATURES),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "hidden": first.weight.detach().T.tolist(),
        "hidden_bias": first.bias.detach().tolist(),
        "output": last.weight.detach()[0].tolist(),
        "output_bias": float(last.bias.detach()[0]),
        "threshold": 0.5,
        "loss": float(loss.detach()),
    }


def save(stored: Mapping[str, Any], path: Path = SCORER_FILE) -> None:
    """Writes the scorer with numbers of six digits: small, and the same scores."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [short(item) for item in value]
        return value

    path.write_text(json.dumps({k: short(v) for k, v in stored.items()}, indent=1) + "\n", encoding="utf-8")
