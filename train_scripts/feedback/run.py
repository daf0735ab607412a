"""From an export and a checkpoint to a run: the new checkpoint, its predictions, its report."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.checkpoints.config import Lineage
from inference.checkpoints.folder import WEIGHTS_FILE, find_checkpoint, weights_hash
from inference.checkpoints.format import CheckpointError
from inference.checkpoints.names import CheckpointFolder
from inference.common.errors import UserError
from inference.common.file_names import ESCAPED, picture_of
from inference.reading.reader import Reader
from train_scripts.data.captions import METADATA
from train_scripts.data.dataset import read_split
from train_scripts.data.duplicates import find_duplicates
from train_scripts.data.exports import Export, read_export
from train_scripts.data.pictures import look
from train_scripts.feedback.finetune import Material, Options, Outcome, Preferred, Weighted, finetune, margins
from train_scripts.feedback.judge import Judge
from train_scripts.feedback.lessons import Lessons, learn_from
from train_scripts.feedback.pictures import Picture, read_pictures
from train_scripts.feedback.students import Example, Seen, Student, load_student
from train_scripts.meme_small.readings import read_kept
from train_scripts.metrics.comparison import Comparison, compare
from train_scripts.pictures import check_pictures

CHECKPOINT, COMPARISON = "checkpoint", "comparison.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything comes from and goes to."""

    feedback: Path
    model: str
    data: Path
    out: Path
    models_dir: Path
    erased: Path | None = None
    readings: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run, for its report. Predictions are by file name; ``left_out``: what was not learnt, and
    why, with its number.
    """

    sources: Sources
    options: Options
    export: Export
    lessons: Lessons
    left_out: Mapping[str, int]
    replay: int
    new_words: tuple[str, ...]
    parent: str  # sha256 of the parent's weights
    checkpoint: str  # sha256 of the new weights
    outcome: Outcome
    judge: Judge
    feedback: Comparison | None  # on the corrected pictures; None without corrections
    preferred: tuple[float, float] | None  # share of the pairs whose better text is likelier: parent, child
    others: Mapping[str, int]  # rows about captions of other models, by their names
    created: str


def run(sources: Sources, options: Options, *, say: Callable[[str], None] = print) -> Result:
    """Fine-tunes and writes everything but the report. ``say`` gets a line for the terminal at a time.

    Raises ExportError, UserError, UnreadablePicturesError and EngineError, whose text is one sentence
    that says what to do.
    """
    out = sources.out
    _claim(out)
    export = read_export(sources.feedback, sources.erased)
    lessons = learn_from(export)
    folder = find_checkpoint(sources.models_dir, CheckpointFolder(sources.model))
    parent_hash = weights_hash(folder / WEIGHTS_FILE)
    train, references = _originals(sources.data)
    readings = {} if sources.readings is None else read_kept(sources.readings)
    say(_summary(export, lessons))
    draw = random.Random(options.seed)
    again = _drawn(draw, train, round(options.replay * max(len(lessons.lessons), options.batch)))
    some = dict(_drawn(draw, list(references.items()), options.val_pictures or len(references)))

    # A typo in a name, a damaged picture or checkpoint, a full disk are to be noticed before the long part.
    check_pictures(
        [
            *(picture_of(export.folder, name) for name in lessons.file_names),
            *(picture_of(sources.data, name) for name in (*dict(again), *some)),
        ]
    )
    parent = load_student(folder)
    corrections = list(lessons.corrections.values())
    student = load_student(folder, corrections)

    reader = Reader()
    own = read_pictures(export.folder, lessons.file_names, {}, reader, "the pictures of the feedback")
    replayed = read_pictures(sources.data, [name for name, _ in again], readings, reader, "training pictures")
    val = _unsent(read_pictures(sources.data, some, readings, reader, "val pictures"), own)
    if not val:
        raise UserError(
            "Every val picture drawn was sent to the bot as well, so nothing is left to measure by: "
            "give more of them with --val-pictures 0, or another --data."
        )
    sent_too = len(some) - len(val)
    some = {one.name: some[one.name] for one in val}

    corrected = [one for one in own if one.name in lessons.corrections]
    judge = Judge(options.measure, val, some, corrected, dict(lessons.corrections))
    say("The parent describes the val pictures and those of the feedback...")
    judge.hear(parent)

    seen = {one.name: student.see(one.image, one.reading) for one in own}
    learnt, pairs, left_out = _prepare(student, lessons, seen)
    if sent_too:
        left_out["val pictures (not measured by either), since people sent them to the bot"] = sent_too
    texts = dict(again)
    old = [
        Weighted(example, 1.0)
        for one in replayed
        if (example := student.example(student.see(one.image, one.reading), texts[one.name], "original"))
    ]
    before = [one.margin for one in pairs]
    outcome = finetune(student, Material(learnt, pairs, old), judge, options, say=say)
    after = margins(student, [(one.better, one.worse) for one in pairs])
    created = datetime.now(UTC).isoformat(timespec="seconds")
    verdict = outcome.verdict
    told = compare(judge.parent_feedback, verdict.feedback, lessons.corrections) if corrected else None
    former = student.training.lineage
    lineage = Lineage(
        parent_hash,
        created,
        data=({"name": sources.data.name, "rows_replayed": len(old), "rows_val": len(val)},),
        feedback={
            "export": export.digest,
            "exported": export.made_at.isoformat(),
            "rows": lessons.rows,
            "rows_erased_since": export.erased,
            "rows_without_picture": lessons.without_picture,
            "lessons": len(learnt),
            "corrected_pictures": len(lessons.corrections),
            "pairs": len(pairs),
            "new_words": list(student.new_words),
        },
        parent_name=sources.model,
        ancestors=(*former.ancestors, *filter(None, [former.parent])) if former else (),
        options={**options.to_dict(), "epoch_kept": outcome.epoch},
    )
    student.save(out / CHECKPOINT, lineage)
    result = Result(
        sources,
        options,
        export,
        lessons,
        left_out,
        len(old),
        student.new_words,
        parent_hash,
        weights_hash(out / CHECKPOINT / WEIGHTS_FILE),
        outcome,
        judge,
        told,
        (_share(before), _share(after)) if pairs else None,
        _other_models(export, sources.model),
        created,
    )
    _write(result)
    return result


def _share(values: Sequence[float]) -> float:
    return sum(one > 0 for one in values) / len(values)


def _other_models(export: Export, model: str) -> dict[str, int]:
    others: dict[str, int] = {}
    for row in export.rows:
        if row.model != model:
            others[row.model] = others.get(row.model, 0) + 1
    return others


def _summary(export: Export, lessons: Lessons) -> str:
    text = (
        f"{lessons.rows} rows: {len(lessons.corrections)} corrected pictures, "
        f"{sum(not one.by_person for one in lessons.lessons)} liked captions, {len(lessons.pairs)} pairs."
    )
    if lessons.without_picture:
        text += (
            f" {lessons.without_picture} rows teach nothing: their pictures were not kept, since the sender "
            "has not let them be."
        )
    if export.erased:
        text += f" {export.erased} rows are left out: their author or picture was erased since the export."
    return text


def _claim(out: Path) -> None:
    """Makes the folder. Raises UserError when it cannot be written or holds something."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        filled = any(out.iterdir())
    except OSError as error:
        raise UserError(f"{out} cannot be used ({error.strerror}): give another folder.") from None
    if filled:
        raise UserError(f"{out} is not empty: give a folder of its own for every run.")


def _originals(data: Path) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The original training rows and val references. Raises UserError when they are not there, and
    UserError.
    """
    rows: dict[str, list[tuple[str, str]]] = {}
    for split in ("train", "val"):
        path = data / f"{split}.jsonl"
        if not path.exists() and not (data / METADATA).exists():
            raise UserError(
                f"{path} is not there: --data takes the folder the model was trained on, with images/, "
                "train.jsonl and val.jsonl."
            )
        rows[split] = [(row.file_name, row.text) for row in read_split(data, split)]
    return rows["train"], dict(rows["val"])


def _drawn(draw: random.Random, rows: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    return draw.sample(list(rows), min(count, len(rows)))


def _unsent(val: Sequence[Picture], own: Sequence[Picture]) -> list[Picture]:
    """The val pictures that are not among the feedback's: what is learnt from must not be measured by."""
    found = find_duplicates(
        {one.name: ("train", look(one.path).hash) for one in val},
        against={f"feedback {one.name}": look(one.path).hash for one in own},
    )
    sent = {one.picture for one in found if one.of.startswith("feedback ")}
    return [one for one in val if one.name not in sent]


def _prepare(
    student: Student, lessons: Lessons, seen: Mapping[str, Seen]
) -> tuple[list[Weighted], list[Preferred], dict[str, int]]:
    left_out: dict[str, int] = {}

    def leave(reason: str) -> None:
        left_out[reason] = left_out.get(reason, 0) + 1

    learnt = []
    for lesson in lessons.lessons:
        example = student.example(
            seen[lesson.file_name], lesson.text, "correction" if lesson.by_person else "caption"
        )
        if example is None:
            leave("texts in which nothing is left that this model could say")
        else:
            learnt.append(Weighted(example, lesson.weight))
    both: list[tuple[Example, Example]] = []
    weights = []
    for pair in lessons.pairs:
        better, worse = (
            student.example(seen[pair.file_name], text, "caption") for text in (pair.better, pair.worse)
        )
        if better is None or worse is None:
            leave("pairs of which one text holds nothing that this model could say")
        elif student.same(better, worse):
            leave("pairs that differ only in what this model cannot say")
        else:
            both.append((better, worse))
            weights.append(pair.weight)
    pairs = [
        Preferred(better, worse, weight, margin)
        for (better, worse), weight, margin in zip(both, weights, margins(student, both), strict=True)
    ]
    if not learnt and not pairs:
        raise UserError("Nothing is left to learn: the corrections hold no words that this model could say.")
    return learnt, pairs, left_out


def _write(result: Result) -> None:
    """The predictions, as `compare` reads them, and the comparison, as `promote` reads it."""
    out, verdict, judge = result.sources.out, result.outcome.verdict, result.judge
    files: dict[str, Mapping[str, str]] = {
        "val.parent.jsonl": judge.parent_val,
        "val.child.jsonl": verdict.val,
        "val.references.jsonl": judge.references,
        "feedback.parent.jsonl": judge.parent_feedback,
        "feedback.child.jsonl": verdict.feedback,
        "feedback.references.jsonl": judge.corrections,
    }
    comparison: dict[str, Any] = {
        "parent": result.parent,
        "checkpoint": result.checkpoint,
        "measure": result.options.measure,
        "val": verdict.comparison.to_dict(),
        "feedback": None if result.feedback is None else result.feedback.to_dict(),
    }
    try:
        for name, texts in files.items():
            lines = (json.dumps({"file_name": k, "text": v}, ensure_ascii=False) for k, v in texts.items())
            (out / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors=ESCAPED)
        (out / COMPARISON).write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"{out} cannot be written ({error}): make room there and start again."
        ) from error
