"""Other people's files to a whole checkpoint of ours, whichever of the known formats they are.

What a file is, its tensors tell: people name them as they like. What a captioner needs besides (an encoder, a
vocabulary) is taken from the sources, from what was named for it, or from what ``pull`` fetched before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError

from inference.checkpoints import manifest
from inference.checkpoints.card_file import CARD_FILE, front_matter
from inference.checkpoints.folder import CONFIG_FILE
from inference.checkpoints.format import TRAINING_FILE, CheckpointError
from inference.checkpoints.weight_files.state import ImportFailed
from inference.importers import (
    bahdanau,
    caption_net,
    clipcap,
    meme_baseline,
    resnet_lstm,
    ruclip,
    rudolph,
    soft_attention,
)
from inference.importers.family import Family, Parts, Request
from inference.importers.sorting import sorted_parts
from inference.presets.preset import Description

# A CLIP model may be a captioner's encoder: alone it is a format of its own, and so it comes last.
_FAMILIES = (
    clipcap.FAMILY,
    meme_baseline.FAMILY,
    soft_attention.FAMILY,
    resnet_lstm.FAMILY,
    caption_net.FAMILY,
    bahdanau.FAMILY,
    rudolph.FAMILY,
    ruclip.FAMILY,
)
_ROLES = tuple(dict.fromkeys(role for family in _FAMILIES for role in (*family.main, *family.others)))
FORMATS = tuple(family.name for family in _FAMILIES)


def convert(request: Request, out: Path) -> Family:
    """Writes the checkpoint folder ``out``, whole or not at all; the format that was found.

    Raises FileNotFoundError when a file is missing, ImportFailed when the files are not what they should be
    or do not belong together, CheckpointError when the folder is there already or cannot be written.
    """
    if out.exists():
        raise CheckpointError(f"{out} is there already: choose another --out, or remove it first.")
    parts = sorted_parts(request, _ROLES)
    chosen = _family(request, parts)
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        described = chosen.write(request, parts, part)
        manifest.record(
            part, {path.name: manifest.entry_of(path) for path in part.iterdir() if _is_vouched(path)}
        )
        (part / CARD_FILE).write_text(_card(out.name, described, chosen, parts), encoding="utf-8")
        part.rename(out)
    except SafetensorError as error:
        raise CheckpointError(
            f"The checkpoint cannot be written to {out} ({error}): make room there."
        ) from error
    except OSError as error:
        if error.errno is None:  # a part that is missing: the sentence says which
            raise
        raise CheckpointError(
            f"The checkpoint cannot be written to {out} ({error.strerror or error}): make room there."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return chosen


def _is_vouched(path: Path) -> bool:
    """What is for people to read may be edited by hand; all else is as it was made."""
    return path.name not in {CONFIG_FILE, TRAINING_FILE, CARD_FILE, manifest.FILE}


def _family(request: Request, parts: Parts) -> Family:
    if request.format != "auto":
        chosen = next((family for family in _FAMILIES if family.name == request.format), None)
        if chosen is None:
            raise ImportFailed(
                f"There is no format {request.format!r}: choose auto, {', '.join(FORMATS[:-1])} or "
                f"{FORMATS[-1]}."
            )
        for role in chosen.main:
            if role not in parts.paths:
                raise ImportFailed(
                    f"The sources hold no {role.called}, which the format {request.format} needs"
                    f"{parts.seen()}: name another --format, or the right files."
                )
        return chosen
    for family in _FAMILIES:
        if any(role in parts.paths for role in family.main):
            for role in family.main:
                parts.need(role, "name the file that was saved with the other one")
            return family
    raise ImportFailed(
        f"The sources are no captioner of a known format{parts.seen()}: the formats are {', '.join(FORMATS)}."
    )


def _card(name: str, described: Description, chosen: Family, parts: Parts) -> str:
    named = sorted((role.called, path.name) for role, path in parts.paths.items())
    sources = "".join(f"- {called}: `{file}`\n" for called, file in named)
    return (
        f"{front_matter({'description_ru': described.ru})}# {name}\n\n{described.en}\n\n"
        "Converted from the files below; what they are licensed under holds for this checkpoint too.\n\n"
        f"Format: {chosen.name}\n\n{sources}"
    )
