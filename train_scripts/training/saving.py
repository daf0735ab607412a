"""A trained model as a checkpoint folder that says where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.card import Score
from inference.checkpoints.card_file import CARD_FILE, front_matter, model_index
from inference.checkpoints.config import Lineage, TrainingRecord
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.common.file_names import ESCAPED
from inference.common.types import DecodingOptions
from inference.presets.preset import Preset
from train_scripts.metrics.evaluator import TITLES
from train_scripts.training.config import TrainConfig
from train_scripts.training.data import TrainRow, digest_of
from train_scripts.training.files import new_folder

__all__ = ["lineage_of", "save_model"]


def lineage_of(config: TrainConfig, rows: Mapping[str, Sequence[TrainRow]]) -> Lineage:
    """What the model was made from. `rows`: by stage, those it was trained on."""
    parent = None
    if config.start_from is not None:
        with (config.start_from / WEIGHTS_FILE).open("rb") as file:
            parent = hashlib.file_digest(file, "sha256").hexdigest()
    data = [
        {
            "stage": name,
            "sources": list(config.stages[name].data),
            "rows": len(own),
            "pictures": len({row.picture for row in own}),
            "sha256": digest_of(own),
        }
        for name, own in rows.items()
    ]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Lineage(parent, created, tuple(data))


def save_model(
    folder: Path,
    model: CaptionModel,
    config: TrainConfig,
    options: DecodingOptions,
    *,
    precision: str,
    lineage: Lineage,
    stages: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    scores: Mapping[str, Any],
    without_words: Mapping[str, Any],
) -> None:
    """Writes the folder whole, or leaves what was there; `scores` as the evaluator's report gives them,
    `without_words`: its scores of captions of a model that was told of no words; `precision`: what was really
    computed in ("no": 32 bits), whatever the config left open.

    Raises UserError when the disk is full.
    """
    training = {
        **config.model_dump(mode="json", include={"preset", "stages", "encoder", "seed"}),
        **({"detectors": config.detectors.model_dump(mode="json")} if config.detectors else {}),
        "mixed_precision": precision,
        "finished": [dict(stage) for stage in stages],
        "notes": list(notes),
        **({"scores_without_words": dict(without_words)} if without_words else {}),
    }
    with new_folder(folder) as part:
        model.save(
            part,
            options,
            TrainingRecord(training, scores, lineage),
            preset=config.system.name,
            half=config.half,
            int8=config.int8,
        )
        (part / CARD_FILE).write_text(
            _card(config, model, options, lineage=lineage, notes=notes, scores=scores),
            encoding="utf-8",
            errors=ESCAPED,
        )


def _card(
    config: TrainConfig,
    model: CaptionModel,
    options: DecodingOptions,
    *,
    lineage: Lineage,
    notes: Sequence[str],
    scores: Mapping[str, Any],
) -> str:
    system = config.system
    trained, every = model.count()
    data = "\n".join(
        f"- stage {one['stage']}: {one['rows']} captions of {one['pictures']} pictures "
        f"from {', '.join(one['sources'])}"
        for one in lineage.data
    )
    lines = [
        front_matter(_fields(system, scores)).rstrip(),
        f"# {system.name}\n",
        f"{system.description.en}\n",
        "## Architecture\n",
        f"- encoder: {model.encoder.settings['kind']}, weights {config.encoder.weights}",
        f"- decoder: {model.decoder.settings['kind']}, {model.decoder.vocabulary} tokens",
        f"- {trained / 1e6:.1f} million of {every / 1e6:.1f} million numbers were trained",
        f"- search: {options.strategy}, at most {options.max_tokens} tokens\n",
        "## Training data\n",
        f"{data}\n",
    ]
    if lineage.parent:
        lines.append(f"It goes on from the checkpoint with the weights {lineage.parent}.\n")
    if scores:
        lines.append(f"## Scores\n\n{scores['pictures']} pictures of val; 95 % bootstrap intervals.\n")
        lines.append("| measure | score | interval |\n| :-- | --: | --: |")
        for key, score in scores["scores"].items():
            if score["value"] is not None:
                value, low, high = (_shown(score[name]) for name in ("value", "low", "high"))
                lines.append(f"| {key} | {value} | {low} … {high} |")
        lines.append("")
    if notes:
        lines += ["## To know\n", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _fields(system: Preset, scores: Mapping[str, Any]) -> dict[str, Any]:
    """The card's front matter."""
    fields: dict[str, Any] = {
        "language": "ru",
        "pipeline_tag": "image-to-text",
        "description_ru": system.description.ru,
    }
    if scores:
        found = [
            Score(key, TITLES[key], score["value"])
            for key, score in scores["scores"].items()
            if key in TITLES and score["value"] is not None
        ]
        told = f"{scores['pictures']} pictures of val"
        fields["model-index"] = model_index(system.name, found, captioned=told)
    return fields


def _shown(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}"
