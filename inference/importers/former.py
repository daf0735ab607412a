"""Checkpoints of this program's former formats into the one that it writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from inference.captioners.meme_small.concept_table import ConceptTable, vocabulary_files
from inference.checkpoints.folder import CONFIG_FILE, is_checkpoint
from inference.checkpoints.format import (
    TOKENIZER_FILE,
    CheckpointError,
    read_config,
    read_training,
    save_beside,
)
from inference.tokenizers.slots import SlotTokenizer


def is_of_this_program(folder: Path) -> bool:
    """Whether it is a checkpoint of this program, in whatever format: those of others say none."""
    if not is_checkpoint(folder):  # a converted CLIP model's have another name
        return False
    try:
        stored = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and {"format", "architecture"} <= stored.keys()


def rewrite(folder: Path, out: Path | None = None) -> None:
    """The checkpoint in the newest format: in its place, or as the new folder ``out``. The weights stay byte
    by byte the same, and so does all that depends on their hash.

    Whatever goes wrong, what was there before is left as it was. Raises CheckpointError when the checkpoint
    is damaged, or cannot be written; ManifestError when its manifest is damaged.
    """
    config, training = read_config(folder), read_training(folder)
    tables_of = _TABLES.get(config.architecture)
    tables = {} if tables_of is None else tables_of(folder)
    if out is None:
        save_beside(folder, config, training, tables)
        return
    if out.exists():
        raise CheckpointError(f"{out} is there already: choose another --out, or remove it first.")
    part = out.parent / f".{out.name}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(folder, part)
        save_beside(part, config, training, tables)
        part.rename(out)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint cannot be written to {out} ({error.strerror or error}): make room there."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _meme_small(folder: Path) -> dict[str, str]:
    try:
        tokenizer = SlotTokenizer.load(folder / TOKENIZER_FILE)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / TOKENIZER_FILE} is damaged: get the checkpoint anew.") from error
    return vocabulary_files(tokenizer, ConceptTable.load(folder, tokenizer))


# Of the architectures that keep tables of words beside the tokenizer.
_TABLES: dict[str, Callable[[Path], dict[str, str]]] = {"meme-small": _meme_small}
