"""Other people's names of tensors into ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inference.checkpoints.weight_files.state import ImportFailed, State
from inference.decoders.recurrent import RecurrentDecoder


def renamed(key: str, names: Mapping[str, str]) -> str:
    """The tensor's name with its module called as ``names`` has it, or as it is."""
    module, _, parameter = key.rpartition(".")
    return f"{names.get(module, module)}.{parameter}"


def modules(state: State) -> set[str]:
    """The names of those that have a weight of two dimensions: layers and embeddings."""
    return {
        key.removesuffix(".weight") for key, v in state.items() if key.endswith(".weight") and v.dim() == 2
    }


def recurrent(decoder: object) -> RecurrentDecoder:
    """The decoder that ``build_decoder`` made, in eval mode, as what it is."""
    if not isinstance(decoder, RecurrentDecoder):
        raise TypeError("The recurrent decoder's name is taken by another.")
    return decoder.eval()


def unsaid(known: int, words: int, tokenizer: Path, path: Path) -> tuple[int, ...]:
    """Tokens that the model may say and the tokenizer has no text for: language models have a few, as their
    tables are rounded up. Raises ImportFailed when they are more, or less than none."""
    if known > words or words - known > max(64, words // 100):
        raise ImportFailed(
            f"{tokenizer} has {known} tokens, {path} was trained with {words}: they are not of the same "
            "captioner, so find the tokenizer that it was trained with."
        )
    return tuple(range(known, words))
