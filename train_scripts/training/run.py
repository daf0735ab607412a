"""A whole run: train, measure the best weights, write the checkpoint and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator

from inference.common.errors import UserError
from train_scripts.files import write_text
from train_scripts.metrics.evaluator import Report, evaluate
from train_scripts.sheets import SheetError, SheetRow
from train_scripts.training.config import TrainConfig
from train_scripts.training.data import TrainRow, first_rows, references_of
from train_scripts.training.loop import Training, accelerator_of
from train_scripts.training.report import Outcome, write_report

__all__ = ["MODEL_FOLDER", "train"]

MODEL_FOLDER = "model"
_SHOWN_VAL, _SHOWN_TRAIN = 24, 8  # pictures of the sheet
_MEASURED_TRAIN = 64  # pictures learned from on which scores are taken as well


def train(
    config: TrainConfig, folder: Path, *, resume: bool = False, accelerator: Accelerator | None = None
) -> Path:
    """Trains what `config` says and returns the folder of the checkpoint: ``folder/model``.

    Rows with a ``weight`` count so many times in the loss; ``config.start_from`` goes on from a checkpoint.
    Under ``accelerate launch`` every process calls it.

    Raises UserError, UserError and UnreadablePicturesError (data) or SheetError (report), one
    sentence each, and Interrupted when the person stopped it; its state is then written.
    """
    accelerator = accelerator or accelerator_of(config)
    training = Training(config, folder, resume=resume, accelerator=accelerator)
    model = training.run()
    training.detect()
    last = training.data[training.names[-1]]
    val, learned = first_rows(last.val), first_rows(last.train)[:_MEASURED_TRAIN]
    captions = training.captions([*val, *learned])
    # Of a model that also learned to do without the words read.
    alone = training.captions(val, told=False) if config.stages[training.names[-1]].unread else {}
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        return folder / MODEL_FOLDER
    of_val, of_train = _scores(captions, last.val, val), _scores(captions, last.train, learned)
    of_alone = _scores(alone, last.val, val) if alone else None
    training.export(
        folder / MODEL_FOLDER,
        of_val.to_dict() if of_val is not None else None,
        without_words=of_alone.to_dict()["scores"] if of_alone is not None else None,
    )
    shown = [
        _shown(row, captions[str(row.picture)], note)
        for rows, note in (
            (val[:_SHOWN_VAL], ""),
            (learned[: _SHOWN_TRAIN if val else _SHOWN_VAL], "learned from"),
        )
        for row in rows
    ]
    try:
        rows = [{"file_name": row.file_name, "text": captions[str(row.picture)]} for row in val or learned]
        write_text(
            folder / "predictions.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        )
        write_report(
            folder,
            Outcome(
                config=config,
                steps=training.folder.rows("steps.jsonl"),
                epochs=training.folder.rows("epochs.jsonl"),
                stages=training.progress.finished,
                notes=training.notes,
                precision=accelerator.mixed_precision,
                parameters=model.count(),
                val=of_val,
                alone=of_alone,
                train=of_train,
                shown=shown,
            ),
        )
    except (OSError, SheetError) as error:
        raise UserError(
            f"The report cannot be written to {folder} ({error}): make room there and run again with "
            "--resume; the "
            f"model itself is in {folder / MODEL_FOLDER}."
        ) from error
    accelerator.wait_for_everyone()
    return folder / MODEL_FOLDER


def _scores(
    captions: dict[str, str], rows: Sequence[TrainRow], pictures: Sequence[TrainRow]
) -> Report | None:
    """Against every caption that `rows` have of the pictures."""
    if not pictures:
        return None
    references = references_of(rows, pictures)
    return evaluate({name: captions[name] for name in references}, references)


def _shown(row: TrainRow, caption: str, note: str) -> SheetRow:
    texts = {"Reference": row.text, "Caption": caption}
    return SheetRow(row.file_name, row.picture, texts, note, marks_of="Reference")
