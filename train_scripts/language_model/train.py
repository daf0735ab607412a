"""A small GPT-2 learned from captions alone: what a prefix captioner speaks with where no published model is.

It sees captions as a captioner that is given the words read will: behind a slot for each line. Photo captions
have no words: to half of them lines are given, as if written on the photo, and quoted, so that the model has
learnt to name lines before it sees its few memes.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from inference.decoders.base import IGNORED
from inference.decoders.gpt_prefix import gpt2
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words_read import SLOTS, slot_names
from train_scripts.training.building import learned_bpe
from train_scripts.training.data import batches_of
from train_scripts.training.files import load_tensors, new_folder, save_tensors

__all__ = ["LanguageModelRecipe", "Text", "train_language_model", "written_on_photos"]

_BATCH = 32
_SAID = ('Подпись: "{quote}". {text}', '{text} Надпись: "{quote}".', 'Текст: "{quote}". Ниже {text}')
_LINES = 5  # on a photo, at most


@dataclass(frozen=True, slots=True)
class Text:
    """A caption, and how many lines were read on its picture, for which it has slots."""

    caption: str
    lines: int = 0


@dataclass(frozen=True, slots=True)
class LanguageModelRecipe:
    """Sizes, and how long each kind of text is learned from."""

    vocabulary: int = 3_500
    width: int = 192
    layers: int = 4
    heads: int = 4
    positions: int = 208
    slots: int = SLOTS
    dropout: float = 0.1
    rate: float = 2e-3
    photo_epochs: int = 2
    meme_epochs: int = 10
    unread: float = 0.3  # how likely a meme's description is learned as if nothing was read
    photos: int = 0  # only so many photo captions; 0: all
    seed: int = 7


def written_on_photos(captions: Sequence[str], seed: int) -> list[Text]:
    """Photo captions, each second one with lines quoted."""
    chance = random.Random(seed)
    texts = []
    for number, caption in enumerate(captions):
        if number % 2:
            texts.append(Text(caption))
            continue
        lines = chance.randint(1, _LINES)
        quote = " ".join(slot_names(lines))
        texts.append(Text(chance.choice(_SAID).format(quote=quote, text=caption), lines))
    return texts


def train_language_model(
    folder: Path,
    photos: Sequence[str],
    memes: Sequence[tuple[Text, Text]],
    spelling: Sequence[str],
    recipe: LanguageModelRecipe,
    *,
    stop_after: int | None = None,
) -> list[float]:
    """``memes``: each description with its lines as slots, and as if nothing was read; ``spelling``: texts
    whose words the byte pairs are to know besides those of the photos.

    Writes ``folder/model`` (model.safetensors and tokenizer.json, as Hugging Face names them) and returns
    the loss of each epoch, photos first. A run that was stopped, by itself after so many epochs as
    ``stop_after`` says, goes on behind its last whole epoch.

    Raises UserError when a file cannot be written, or the state there is damaged.
    """
    torch.manual_seed(recipe.seed)
    photos = photos[: recipe.photos or None]
    tokenizer = learned_bpe([*photos, *spelling], recipe.vocabulary)
    tokenizer.add_slots(recipe.slots)
    model = _model(recipe, tokenizer)
    rows = [
        [_tokens(text, tokenizer, recipe.positions) for text in own] for own in _epochs(photos, memes, recipe)
    ]
    steps = sum(math.ceil(len(own) / _BATCH) for own in rows)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=steps + 1, pct_start=0.1
    )
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    state_file, losses = folder / "state.pt", list[float]()
    if state_file.is_file():
        state = load_tensors(state_file)
        losses = state["losses"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in range(len(losses), len(rows) if stop_after is None else stop_after):
        losses.append(_epoch(model, rows[epoch], optimizer, schedule, seed=f"{recipe.seed} {epoch}"))
        tqdm.write(f"epoch {epoch + 1}/{len(rows)}: loss {losses[-1]:.4f}")
        states = {name: part.state_dict() for name, part in parts.items()}
        save_tensors(state_file, {**states, "losses": losses, "recipe": asdict(recipe)})
    if stop_after is not None:
        return losses
    with new_folder(folder / "model") as part_folder:
        model.save_pretrained(part_folder)
        tokenizer.save(part_folder)
    return losses


def _epochs(
    photos: Sequence[str], memes: Sequence[tuple[Text, Text]], recipe: LanguageModelRecipe
) -> list[list[Text]]:
    """What each epoch learns from."""
    chance = random.Random(recipe.seed)
    of_photos = [written_on_photos(photos, recipe.seed + number) for number in range(recipe.photo_epochs)]
    of_memes = [
        [unread if chance.random() < recipe.unread else read for read, unread in memes]
        for _ in range(recipe.meme_epochs)
    ]
    return [*of_photos, *of_memes]


def _model(recipe: LanguageModelRecipe, tokenizer: Gpt2Tokenizer) -> Any:
    return gpt2(
        len(tokenizer),
        recipe.positions,
        recipe.width,
        recipe.layers,
        recipe.heads,
        recipe.dropout,
        bos=tokenizer.bos,
        eos=tokenizer.eos,
    )


def _tokens(text: Text, tokenizer: Gpt2Tokenizer, longest: int) -> tuple[list[int], int]:
    """The tokens of a text, and how many of them stand before its caption."""
    before = [tokenizer.bos, *tokenizer.slots[: text.lines], tokenizer.bos]
    row = [*before, *tokenizer.encode(text.caption), tokenizer.eos]
    return row[:longest], len(before)


def _epoch(
    model: Any,
    rows: Sequence[tuple[list[int], int]],
    optimizer: torch.optim.Optimizer,
    schedule: Any,
    *,
    seed: str,
) -> float:
    """The mean loss a token."""
    torch.manual_seed(random.Random(seed).getrandbits(62))
    model.train()
    total, counted, started = 0.0, 0, time.monotonic()
    batches = batches_of([len(row) for row, _ in rows], _BATCH, seed=seed)
    for batch in tqdm(batches, leave=False, mininterval=5):
        tokens, targets = _padded(rows[i] for i in batch)
        losses = functional.cross_entropy(
            model(tokens).logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        losses.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        number = int((targets != IGNORED).sum())
        total, counted = total + float(losses.detach()) * number, counted + number
    tqdm.write(f"{len(batches)} steps in {time.monotonic() - started:.0f} s")
    return total / max(counted, 1)


def _padded(rows: Iterable[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """Inputs and targets (n, L), int64; what was given is not learned, and padding neither."""
    listed = list(rows)
    length = max(len(row) for row, _ in listed) - 1
    tokens = torch.zeros(len(listed), length, dtype=torch.int64)
    targets = torch.full((len(listed), length), IGNORED)
    for at, (row, given) in enumerate(listed):
        tokens[at, : len(row) - 1] = torch.tensor(row[:-1])
        targets[at, given - 1 : len(row) - 1] = torch.tensor(row[given:])
    return tokens, targets
