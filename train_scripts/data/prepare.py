"""From what a reader yields to a data set: pictures looked at, duplicates found, texts translated, all of it
counted.

In `OUT`: `images/`, `metadata.jsonl` (see `train_scripts.data.dataset`), `undescribed.jsonl` (pictures that
nobody has described: rows without `text`), and the folder `prepare`: `report.md`, `report.json`, and the
journals that an interrupted run goes on from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.file_names import ESCAPED
from inference.common.locks import Locked, locked
from train_scripts.data.captions import METADATA
from train_scripts.data.dataset import SPLITS
from train_scripts.data.duplicates import THRESHOLD, Duplicate, find_duplicates
from train_scripts.data.files import json_rows
from train_scripts.data.pictures import inspect, safe_names, take
from train_scripts.data.records import Item, Record, Refused, find_picture
from train_scripts.data.translate import Translates, translate
from train_scripts.files import write_text
from train_scripts.tables import Sheet

__all__ = ["UNDESCRIBED", "WORK", "Plan", "Report", "is_prepared", "prepare"]

WORK = "prepare"  # the folder of reports and journals
UNDESCRIBED = "undescribed.jsonl"
_COMMAND, _LAST = "command.json", "report.md"  # of the work folder: what is written first, and last
_SHOWN = 50  # rows of a kind in report.md; report.json has all


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made of the items.

    `parts`: shares (0..1) of the pictures without a split that become "val" and "test", chosen by a hash of
    the picture's name and `seed`, so that a picture stays where it is when the data set grows. `translator`:
    the name of the model and what loads it; None and `keep_english`: English texts stay; None and not:
    English texts are refused. `against`: other data sets whose val and test pictures must not turn up here.
    """

    out: Path
    identity: Mapping[str, Any]  # of the command: another one may not write into the same folder
    parts: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    threshold: int = THRESHOLD  # bits of 256
    against: tuple[Path, ...] = ()
    link: bool = False
    keep_english: bool = False
    translator: tuple[str, Callable[[], Translates]] | None = None
    translations: Path | None = None  # None: in the work folder


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every row and picture. All counts add up: see `to_dict`."""

    identity: Mapping[str, Any]
    read: int
    written: int
    undescribed: int
    refused: tuple[Refused, ...]
    splits: Mapping[str, tuple[int, int]]  # pictures, rows
    duplicates: tuple[Duplicate, ...]
    repaired: Mapping[str, int]  # what else was done, and how often
    made_at: str

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out for each reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.refused).most_common())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able. `rows.read` is `rows.written` + `rows.undescribed` + all of `rows.left_out`."""
        return {
            "command": dict(self.identity),
            "made_at": self.made_at,
            "rows": {
                "read": self.read,
                "written": self.written,
                "undescribed": self.undescribed,
                "left_out": self.reasons,
            },
            "splits": {name: {"pictures": p, "rows": r} for name, (p, r) in self.splits.items()},
            "notes": dict(self.repaired),
            "left_out": [
                {"where": one.where, "reason": one.reason, "sentence": one.sentence} for one in self.refused
            ],
            "duplicates": [one.to_dict() for one in self.duplicates],
        }

    def counts(self) -> Sheet:
        """The numbers as a table."""
        rows = [("Rows read", str(self.read)), ("Rows written", str(self.written))]
        if self.undescribed:
            rows.append((f"Pictures without a description ({UNDESCRIBED})", str(self.undescribed)))
        rows += [(f"Left out: {reason}", str(count)) for reason, count in self.reasons.items()]
        rows += [
            (f"{name}: pictures, rows", f"{pictures}, {captions}")
            for name, (pictures, captions) in self.splits.items()
        ]
        rows.append(("Duplicates found", str(len(self.duplicates))))
        rows += [(what, str(count)) for what, count in self.repaired.items()]
        return Sheet("What was read", ("What", "Number"), tuple(rows))

    def to_markdown(self) -> str:
        """The report for reading."""
        parts = [f"# Data set of {self.made_at}\n", self.counts().to_markdown()]
        if self.duplicates:
            shown = [
                (d.picture, d.split, d.of, d.of_split, "left out" if d.left_out else "stays", str(d.distance))
                for d in self.duplicates[:_SHOWN]
            ]
            columns = ("Picture", "Split", "Shows the same as", "Split", "", "Bits of 256")
            title = f"Duplicates{_of(len(shown), len(self.duplicates))}"
            parts.append(Sheet(title, columns, tuple(shown), text_columns=5).to_markdown())
        for reason, count in self.reasons.items():
            of_kind = [one for one in self.refused if one.reason == reason][:_SHOWN]
            lines = "".join(f"- {' '.join(one.sentence.split())}\n" for one in of_kind)
            parts.append(f"Left out, {reason}{_of(len(of_kind), count)}\n\n{lines}")
        return "\n".join(parts)


def _of(shown: int, count: int) -> str:
    return f" (the first {shown} of {count}; all are in report.json)" if shown < count else f" ({count})"


def prepare(read: Callable[[Path], Iterable[Item]], plan: Plan) -> Report:
    """Makes the data set. What was done before an interruption is not done again.

    `read`: gives the items; it gets the work folder, for readers that fetch what they read.

    Raises UserError, and what the reader raises; nothing of an earlier data set in the folder is changed
    before the pictures of the new one are known.
    """
    work = _claim(plan)
    try:
        with locked(work):
            return _prepare(read(work), plan, work)
    except Locked:
        raise UserError(
            f"{plan.out} is being prepared by another process: wait for it, or give another folder."
        ) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or plan.out} cannot be written ({error.strerror}): make room there and run the "
            "same command again, it goes on from here."
        ) from None


def is_prepared(plan: Plan) -> bool:
    """Whether the plan's data set was made to its end. Raises UserError where the folder holds another."""
    return _begun(plan) and (plan.out / WORK / _LAST).is_file()


def _claim(plan: Plan) -> Path:
    """The work folder of a folder that is empty or has been prepared by the same command."""
    work = plan.out / WORK
    if not _begun(plan):
        try:
            work.mkdir(parents=True, exist_ok=True)
            write_text(work / _COMMAND, _identity(plan))
        except OSError as error:
            raise UserError(f"{plan.out} cannot be used ({error.strerror}): give another folder.") from None
    return work


def _begun(plan: Plan) -> bool:
    """Whether the same command was here before. Raises UserError where another was, or other files are."""
    mark = plan.out / WORK / _COMMAND
    try:
        if mark.is_file():
            if mark.read_text(encoding="utf-8") != _identity(plan):
                raise UserError(
                    f"{plan.out} holds another data set (see {mark}): give another folder or delete it."
                )
            return True
        if plan.out.exists() and any(path.name != WORK for path in plan.out.iterdir()):
            raise UserError(f"{plan.out} is not empty: give a new folder.")
    except OSError as error:
        raise UserError(f"{plan.out} cannot be used ({error.strerror}): give another folder.") from None
    return False


def _identity(plan: Plan) -> str:
    identity = json.dumps(plan.identity, ensure_ascii=False, sort_keys=True, indent=1)
    return identity.encode("utf-8", ESCAPED).decode()


def _prepare(items: Iterable[Item], plan: Plan, work: Path) -> Report:
    refused: list[Refused] = []
    records = []
    read = 0
    for item in tqdm(items, desc="Reading", unit="row", disable=None):
        read += 1
        if isinstance(item, Refused):
            refused.append(item)
        elif (why := _unusable(item, plan)) is not None:
            refused.append(why)
        else:
            records.append(item)
    notes: dict[str, int] = {}

    seen = inspect((r.picture for r in records if r.picture is not None), work / "pictures.jsonl")
    records = list(_kept(records, refused, lambda r: _broken(r, seen[_file(r)].error)))
    names = safe_names((record.name, _file(record)) for record in records)
    splits = _splits(records, plan)
    records = list(_kept(records, refused, lambda r: _of_two_splits(r, splits[_file(r)])))

    against = _held_out(plan.against, work / "pictures.jsonl")
    hashes = {names[path]: (split, seen[path].hash) for path, split in splits.items()}
    duplicates = find_duplicates(hashes, plan.threshold, against)
    dropped = {one.picture: one for one in duplicates if one.left_out}
    records = list(_kept(records, refused, lambda r: _duplicate(r, dropped.get(names[_file(r)]))))

    described: set[tuple[Path, str]] = set()
    records = list(_kept(records, refused, lambda r: _repeated(r, described)))
    texts = _translated(records, plan, work)
    rows: list[dict[str, Any]] = []
    undescribed: list[dict[str, Any]] = []
    for record in records:
        row: dict[str, Any] = {"file_name": names[_file(record)]}
        text = record.text or (texts.get(record.original, record.original) if record.original else None)
        if text:
            row["text"] = text
        row |= {"split": splits[_file(record)], "source": record.source, "original": record.original}
        (rows if text else undescribed).append(row | dict(record.extra))
    if plan.translator is not None:
        notes[f"Translated by {plan.translator[0]}"] = sum(
            record.text is None and bool(record.original) for record in records
        )
    if not rows and not undescribed:
        raise UserError(
            f"Of {read} rows none can be used ({_first_reason(refused)}): mend that, then run it again."
        )
    take({_file(record): names[_file(record)] for record in records}, plan.out, link=plan.link)
    report = Report(
        plan.identity,
        read,
        len(rows),
        len(undescribed),
        tuple(refused),
        {split: count for split in SPLITS if any(count := _count(rows + undescribed, split))},
        tuple(duplicates),
        notes,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    for name, lines in ((METADATA, rows), (UNDESCRIBED, undescribed)):
        if lines or (plan.out / name).exists():
            write_text(plan.out / name, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines))
    write_text(work / "report.json", json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n")
    write_text(work / _LAST, report.to_markdown())
    return report


def _first_reason(refused: list[Refused]) -> str:
    return refused[0].sentence.rstrip(".") if refused else "there are no rows"


def _file(record: Record) -> Path:
    assert record.picture is not None, "records without a picture were refused"  # noqa: S101
    return record.picture


def _kept(
    records: Iterable[Record], refused: list[Refused], why: Callable[[Record], Refused | None]
) -> Iterator[Record]:
    for record in records:
        reason = why(record)
        if reason is None:
            yield record
        else:
            refused.append(reason)


def _unusable(record: Record, plan: Plan) -> Refused | None:
    if record.picture is None:
        return Refused(
            record.where,
            "picture missing",
            f"{record.where}, names {record.name}, which is not among the pictures.",
        )
    if record.text is None and record.original and plan.translator is None and not plan.keep_english:
        raise UserError(
            f"{record.where}, is in English: have it translated (--translate Helsinki-NLP/opus-mt-en-ru), "
            "or keep it as it is (--keep-english)."
        )
    return None


def _broken(record: Record, error: str | None) -> Refused | None:
    if error is None:
        return None
    return Refused(record.where, "picture broken", f"{record.where}, {record.picture}: {error}")


def _splits(records: Iterable[Record], plan: Plan) -> dict[Path, str]:
    """The split of each picture; one that is in several is held out."""
    told: dict[Path, str] = {}
    for record in records:
        split = record.split or _drawn(record.name, plan)
        before = told.setdefault(_file(record), split)
        if SPLITS.index(split) > SPLITS.index(before):
            told[_file(record)] = split
    return told


def _drawn(name: str, plan: Plan) -> str:
    digits = hashlib.sha256(f"{plan.seed}\0{name}".encode()).digest()[:8]
    place = int.from_bytes(digits, "big") / 2**64
    for split in ("test", "val"):
        share = plan.parts.get(split, 0.0)
        if place < share:
            return split
        place -= share
    return "train"


def _of_two_splits(record: Record, split: str) -> Refused | None:
    if record.split in {None, split}:
        return None
    return Refused(
        record.where,
        "picture of two splits",
        f"{record.where}, is of the split {record.split}, but {record.name} is in {split} too.",
    )


def _duplicate(record: Record, found: Duplicate | None) -> Refused | None:
    if found is None:
        return None
    return Refused(
        record.where,
        "duplicate picture",
        f"{record.where}, {record.name} shows the same as {found.of} ({found.of_split}).",
    )


def _repeated(record: Record, described: set[tuple[Path, str]]) -> Refused | None:
    key = (_file(record), record.text or record.original or "")
    if key in described:
        return Refused(
            record.where, "repeated row", f"{record.where}, repeats a row of {record.name} word for word."
        )
    described.add(key)
    return None


def _held_out(folders: Iterable[Path], journal: Path) -> dict[str, str]:
    """The hashes of the val and test pictures of other data sets, by path."""
    files = []
    for folder in folders:
        paths = [folder / METADATA] if (folder / METADATA).is_file() else []
        paths = paths or [p for p in (folder / "val.jsonl", folder / "test.jsonl") if p.is_file()]
        if not paths:
            raise UserError(
                f"{folder} holds neither {METADATA} nor val.jsonl: give the folder of a prepared data set."
            )
        for path in paths:
            for _, row in json_rows(path):
                split = row.get("split") or (path.stem if path.stem in SPLITS else "train")
                name = row.get("file_name")
                if split != "train" and isinstance(name, str):
                    file = find_picture(folder, name)
                    if file is None:
                        raise UserError(f"{path} names {name}, which is not in {folder}: get it whole.")
                    files.append(file)
    return {str(path): seen.hash for path, seen in inspect(files, journal).items() if seen.error is None}


def _translated(records: Iterable[Record], plan: Plan, work: Path) -> dict[str, str]:
    if plan.translator is None:
        return {}
    model, load = plan.translator
    texts = (record.original for record in records if record.text is None and record.original)
    cache = plan.translations or work / "translations.jsonl"
    cache.parent.mkdir(parents=True, exist_ok=True)
    return translate(texts, model, cache, load)


def _count(rows: Iterable[Mapping[str, Any]], split: str) -> tuple[int, int]:
    names = [row["file_name"] for row in rows if row["split"] == split]
    return len(set(names)), len(names)
