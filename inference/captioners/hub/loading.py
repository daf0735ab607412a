"""A snapshot of the hub to a model of transformers: without the net, without running what is in the files."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

from inference.checkpoints.hub import weight_files
from inference.checkpoints.names import HubModel
from inference.common.types import EngineError

logger = logging.getLogger(__name__)


class HubError(EngineError):
    """A hub model is here but cannot be used: ``str()`` says why and what to do, in one sentence."""


def load_part(kind: Any, snapshot: Path, model: HubModel, **settings: Any) -> Any:
    """``kind.from_pretrained`` of a snapshot, for a configuration, a tokenizer or a processor.

    Raises HubError when the files are damaged, need code of their own, or are of no kind transformers knows.
    """
    try:
        return kind.from_pretrained(snapshot, local_files_only=True, trust_remote_code=False, **settings)
    except pickle.UnpicklingError as error:
        raise HubError(
            f"The weights of {model} hold pickled code, which would run when they are opened, so they are "
            "refused: choose a revision with safetensors, or another model."
        ) from error
    # Whatever transformers raises of somebody's files must become a sentence.
    except Exception as error:
        reason = _first_line(error)
        if "custom code" in reason or "trust_remote_code" in str(error):
            sentence = f"{model} brings code of its own, which is not run here: choose another model."
        elif isinstance(error, ImportError):
            sentence = f"{model} needs a package that is not installed: {reason}."
        else:
            sentence = f"{model} cannot be loaded ({reason}): get it anew, or choose another model."
        raise HubError(sentence) from error


def load_model(kind: Any, snapshot: Path, model: HubModel, **settings: Any) -> Any:
    """The model of a snapshot, in eval mode, with every weight it has a place for.

    Weights are read from safetensors where the repository has them; else from PyTorch's format by its loader
    that runs no code, and the log says so. Raises HubError as :func:`load_part` does, and when weights are
    missing.
    """
    safe = all(file.suffix == ".safetensors" for file in weight_files(snapshot))
    if not safe:
        logger.warning(
            "%s has no safetensors: its PyTorch file is read by the loader that runs no code in it.", model
        )
    loaded, info = load_part(
        kind, snapshot, model, use_safetensors=safe, output_loading_info=True, **settings
    )
    wrong = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise HubError(
            f"The weights of {model} do not fit its config.json ({wrong[0]}{more}): get it anew, or choose "
            "another model."
        )
    return loaded.eval()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".:")
