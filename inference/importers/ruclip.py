"""CLIP and ruCLIP: both towers, which rank captions and see for captioners, but write none."""

from __future__ import annotations

from pathlib import Path

from inference.checkpoints.folder import CONFIG_FILE, RUCLIP_FILE
from inference.checkpoints.modules import write_tensors
from inference.common.json_text import readable
from inference.encoders.ruclip_files import import_ruclip, is_ruclip, settings_of
from inference.importers.family import Family, Parts, Request, Role
from inference.presets.preset import Description

CLIP = Role("CLIP model", is_ruclip, sees=True)
NAME = "ruclip"
_DESCRIPTION = Description(
    en="Ranks captions by how well they fit a picture, and sees for captioners.",
    ru="Сравнивает подписи с картинкой и служит глазом моделям, которые её описывают.",
)


def _write(request: Request, parts: Parts, folder: Path) -> Description:  # noqa: ARG001 - as every format is written
    """The weights get a name of their own, so that nothing offers them as a captioner."""
    found = import_ruclip(parts.paths[CLIP], state=parts.states.pop(CLIP, None))
    config = {"architecture": NAME, **settings_of(found), "source": parts.source(NAME)}
    tensors = {name: tensor.contiguous() for name, tensor in found.model.state_dict().items()}
    write_tensors(folder / RUCLIP_FILE, tensors, {"format": "pt"})
    (folder / CONFIG_FILE).write_text(readable(config), encoding="utf-8")
    if found.tokenizer is not None:
        found.tokenizer.save(folder)
    return _DESCRIPTION


FAMILY = Family(NAME, (CLIP,), _write, captions=False)
