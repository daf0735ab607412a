"""Trains the shipped model from nothing, in three stages.

1. The encoder learns to tell the concepts of the descriptions apart (Fang et al. 2015, arXiv:1411.4952: word
   detectors before a language model), from the pictures alone.
2. The decoder learns the language from photo captions, without pictures.
3. The decoder learns to describe memes: words and slots by cross-entropy, concepts beside them. The
encoder is
   frozen by then and sees each picture in a few lights, once.

Each epoch ends with a file from which an interrupted run goes on.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from inference.decoders.slot_prefix import SlotMemory, SlotPrefixConfig, SlotPrefixDecoder
from inference.encoders.base import build_encoder
from inference.faithful import LAYOUT, Cutter
from inference.meme_small import ENCODER, MAX_LINE_WORDS, MemeSmall, collate, concept_words, line_word_ids
from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES
from inference.reading.lexicon import lemma
from inference.slots import EOS, UNK, SlotTokenizer
from train_scripts.meme_small.data import (
    Example,
    build_tokenizer,
    concept_list,
    load_examples,
    pad,
    read_rows,
    target_ids,
)
from train_scripts.metrics.faithfulness import ContentLemmas

_LEVEL_BOUNDS = (4, 9)  # words outside quotations: where the next level of detail begins


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the outcome of a run; written into the checkpoint."""

    seed: int = 7
    batch: int = 32
    concept_epochs: int = 12
    photo_epochs: int = 1
    meme_epochs: int = 14
    concept_rate: float = 2e-3
    photo_rate: float = 1e-3
    meme_rate: float = 7e-4
    views: int = 4
    folds: int = 4
    fold_epochs: int = 10
    support: float = 0.12
    weight_decay: float = 0.05
    concept_weight: float = 3.0
    width: int = 256
    layers: int = 3
    dropout: float = 0.25


def augment(pictures: Tensor) -> Tensor:
    """(n, 3, side, side) 0..1: light and contrast vary, the frame shifts a little. Never mirrored: text
    stays text.
    """
    n, device = len(pictures), pictures.device
    light = 1 + (torch.rand(n, 1, 1, 1, device=device) - 0.5) * 0.5
    tint = 1 + (torch.rand(n, 3, 1, 1, device=device) - 0.5) * 0.2
    mean = pictures.mean((1, 2, 3), keepdim=True)
    contrast = 1 + (torch.rand(n, 1, 1, 1, device=device) - 0.5) * 0.5
    pictures = ((pictures - mean) * contrast + mean * light) * tint
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = 1 + (torch.rand(n, device=device) - 0.5) * 0.2
    theta[:, 1, 1] = 1 + (torch.rand(n, device=device) - 0.5) * 0.2
    theta[:, :, 2] = (torch.rand(n, 2, device=device) - 0.5) * 0.12
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False).clamp(0, 1)


def _batches(lengths: Sequence[int], size: int, generator: random.Random) -> list[list[int]]:
    """Random batches of like lengths (sorted within pools of 20 batches): little padding is computed."""
    order = list(range(len(lengths)))
    generator.shuffle(order)
    pool = 20 * size
    order = [
        i for j in range(0, len(order), pool) for i in sorted(order[j : j + pool], key=lengths.__getitem__)
    ]
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    generator.shuffle(batches)
    return batches


def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over a twentieth of the run, then a cosine to a fiftieth."""
    warm = max(1, steps // 20)

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _word_loss(logits: Tensor, targets: Tensor, unknown: int) -> Tensor:
    """Cross-entropy over words and slots. Padding and unknown words teach nothing; the end token does."""
    targets = targets.masked_fill((targets == 0) | (targets == unknown), -100)
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)


def _words_told(ids: Sequence[int], tokenizer: SlotTokenizer) -> int:
    """Words outside quotations: what the start token's level of detail is about."""
    return sum(i < len(tokenizer) and tokenizer.words[i][0].isalnum() for i in ids)


class Trainer:
    """Holds the data and the model through the stages; ``work`` is the folder of the resumable state."""

    def __init__(self, memes: Path, photos: Path, readings: Path, work: Path, recipe: Recipe) -> None:
        self.recipe, self.work = recipe, work
        work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.shuffle = random.Random(recipe.seed)
        lemmas = ContentLemmas()
        rows = {row["file_name"]: row for row in read_rows(readings)}
        encoder = build_encoder(ENCODER)
        pixels = encoder.preprocessing
        self.train, self.train_pictures = load_examples(memes, "train", rows, lemmas, pixels)
        self.val, self.val_pictures = load_examples(memes, "val", rows, lemmas, pixels)
        captions = [row["text"] for row in read_rows(photos)]
        descriptions = [row["text"] for row in read_rows(memes / "train.jsonl")]
        self.tokenizer = build_tokenizer(self.train, descriptions, captions)
        self.concepts = concept_list(self.train)
        self.photos = [
            [*self.tokenizer.encode_words(text)[:60], self.tokenizer.id(EOS)] for text in captions if text
        ]
        config = SlotPrefixConfig(
            vocabulary=len(self.tokenizer),
            concepts=len(self.concepts),
            width=recipe.width,
            layers=recipe.layers,
            dropout=recipe.dropout,
            grid_width=encoder.widths[0],
            grid_positions=encoder.positions,
        )
        words = concept_words(self.tokenizer, self.concepts, lemmas.of)
        self.model = MemeSmall(config, self.tokenizer, tuple(self.concepts), words)
        places = {concept: i for i, concept in enumerate(self.concepts)}
        self.labels = torch.zeros(len(self.train), len(self.concepts))
        for i, one in enumerate(self.train):
            self.labels[i, [places[concept] for concept in one.concepts if concept in places]] = 1
        self.val_labels = torch.zeros(len(self.val), len(self.concepts))
        for i, one in enumerate(self.val):
            self.val_labels[i, [places[concept] for concept in one.concepts if concept in places]] = 1
        self.history: list[dict[str, Any]] = []

    def run(self) -> MemeSmall:
        """All stages, from where an interrupted run stopped."""
        for stage in (self._learn_concepts, self._learn_language, self._learn_memes):
            stage()
        return self.model

    def _see(self, pictures: Tensor) -> Tensor:
        """(n, 3, side, side) 0..1, normalised as the encoder's preprocessing does, through the encoder."""
        preprocessing = self.model.encoder.preprocessing
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
        )
        pixels = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
        # Depthwise convolutions are slower in bfloat16 than in float32 on a CPU.
        with torch.autocast("cpu", enabled=False):
            return torch.as_tensor(self.model.encoder(pixels))

    # --- the stages ---

    def _learn_concepts(self) -> None:
        head = nn.Linear(self.model.decoder.config.grid_width, len(self.concepts))
        nn.init.constant_(head.bias, -3.5)
        optimizer = torch.optim.AdamW(
            [*self.model.encoder.parameters(), *head.parameters()],
            lr=self.recipe.concept_rate,
            weight_decay=self.recipe.weight_decay,
        )

        def step(batch: list[int]) -> Tensor:
            self.model.encoder.train()
            grid = self._see(augment(self.train_pictures[batch].float() / 255))
            logits = head(functional.dropout(grid.mean(1), 0.3))
            return functional.binary_cross_entropy_with_logits(logits, self.labels[batch]) * 10

        self._stage(
            "concepts",
            epochs=self.recipe.concept_epochs,
            lengths=[0] * len(self.train),
            optimizer=optimizer,
            step=step,
            extra=head,
        )

    def _learn_language(self) -> None:
        optimizer = torch.optim.AdamW(
            self.model.decoder.parameters(), lr=self.recipe.photo_rate, weight_decay=self.recipe.weight_decay
        )
        start = self.tokenizer.levels[-1]
        no_layout = np.zeros(LAYOUT_FEATURES, dtype=np.float32)
        no_lines = np.zeros((0, LINE_FEATURES), dtype=np.float32)
        no_words = np.zeros((0, MAX_LINE_WORDS), dtype=np.int64)

        def step(batch: list[int]) -> Tensor:
            tokens = pad([[start, *self.photos[i]] for i in batch])
            nothing = collate(
                None, [no_layout] * len(batch), [no_lines] * len(batch), [no_words] * len(batch)
            )
            logits, _ = self.model.decoder(nothing, tokens[:, :-1])
            return _word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))

        self._stage(
            "language",
            epochs=self.recipe.photo_epochs,
            lengths=[len(one) for one in self.photos],
            optimizer=optimizer,
            step=step,
            batch=128,
        )

    def _learn_memes(self) -> None:
        optimizer = torch.optim.AdamW(
            self.model.decoder.parameters(), lr=self.recipe.meme_rate, weight_decay=self.recipe.weight_decay
        )
        targets = self._targets(self.train, self._support())
        words = [line_word_ids(one.lines, self.tokenizer) for one in self.train]
        views = self.views
        torch.manual_seed(self.recipe.seed)  # wherever the stages before, or their files, left it

        def step(batch: list[int]) -> Tensor:
            view = self.shuffle.randrange(len(views))
            own = [self.train[i] for i in batch]
            memory = self._memory(views[view][batch].float(), own, [words[i] for i in batch])
            tokens = pad([targets[i] for i in batch])
            logits, concepts = self.model.decoder(memory, tokens[:, :-1])
            loss = _word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))
            named = functional.binary_cross_entropy_with_logits(concepts, self.labels[batch])
            return loss + self.recipe.concept_weight * named

        self._stage(
            "memes",
            epochs=self.recipe.meme_epochs,
            lengths=[len(one) for one in targets],
            optimizer=optimizer,
            step=step,
            measure=self.validate,
        )

    @cached_property
    def views(self) -> list[Tensor]:
        """What the encoder, now frozen, sees of each picture in a few lights: (n, positions, width)."""
        self.model.encoder.eval()
        views = []
        # Seeded: a run that goes on after an interruption sees the pictures in the same lights.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            for _ in tqdm(range(self.recipe.views), desc="views"):
                batches = torch.split(self.train_pictures, 64)
                views.append(torch.cat([self._see(augment(part.float() / 255)).half() for part in batches]))
        return views

    def _targets(self, examples: Sequence[Example], support: Tensor) -> list[list[int]]:
        """Descriptions without what nothing supports; ``support`` (n, concepts) probabilities."""
        tokenizer = self.tokenizer
        cut = Cutter(tokenizer, self.model.word_concepts.tolist(), lemma)
        plain = tokenizer.encode_words("картинка.")
        layout = {i for i, concept in enumerate(self.concepts) if concept in LAYOUT}
        targets = []
        for one, row in zip(examples, support, strict=True):
            allowed = layout | set((row >= self.recipe.support).nonzero().flatten().tolist())
            ids = cut(target_ids(one.target, tokenizer), allowed) or plain
            level = sum(_words_told(ids, tokenizer) >= bound for bound in _LEVEL_BOUNDS)
            targets.append([tokenizer.levels[level], *ids, tokenizer.id(EOS)])
        return targets

    def _support(self) -> Tensor:
        """(n, concepts): how likely each concept is by a model that never saw that picture's description.

        Out-of-fold predictions: what the decoder may learn to say of a picture is what could have been known.
        """
        saved = self.work / "support.pt"
        if saved.exists():
            return torch.as_tensor(torch.load(saved, weights_only=True))
        n, folds = len(self.train), self.recipe.folds
        support = torch.zeros(n, len(self.concepts))
        fold = [i % folds for i in range(n)]
        self.shuffle.seed(f"{self.recipe.seed} folds")
        self.shuffle.shuffle(fold)
        words = [line_word_ids(one.lines, self.tokenizer) for one in self.train]
        for held in range(folds):
            torch.manual_seed(self.recipe.seed + held)
            predictor = SlotPrefixDecoder(
                replace(self.model.decoder.config, width=128, layers=2, heads=4, dropout=0.3)
            )
            inside = [i for i in range(n) if fold[i] != held]
            optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-3, weight_decay=0.05)

            def predict(batch: list[int], view: Tensor, predictor: SlotPrefixDecoder = predictor) -> Tensor:
                memory = self._memory(
                    view[batch].float(), [self.train[i] for i in batch], [words[i] for i in batch]
                )
                start = torch.full((len(batch), 1), self.tokenizer.levels[0])
                return torch.as_tensor(predictor(memory, start)[1])

            batches = _batches([0] * len(inside), 64, self.shuffle) * self.recipe.fold_epochs
            schedule = _schedule(optimizer, len(batches))
            for batch in tqdm(batches, desc=f"support {held + 1}/{folds}", mininterval=5):
                own = [inside[i] for i in batch]
                optimizer.zero_grad()
                logits = predict(own, self.views[self.shuffle.randrange(len(self.views))])
                functional.binary_cross_entropy_with_logits(logits, self.labels[own]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            predictor.eval()
            with torch.no_grad():
                outside = [i for i in range(n) if fold[i] == held]
                for start in range(0, len(outside), 128):
                    own = outside[start : start + 128]
                    support[own] = torch.sigmoid(predict(own, self.views[0]))
        precision = [
            {
                "threshold": t,
                "precision": float(self.labels[support >= t].mean()),
                "named": int((support >= t).sum()),
            }
            for t in (0.1, 0.15, 0.2, 0.3)
        ]
        print(json.dumps(precision), flush=True)  # noqa: T201 - the run's record on the terminal
        part = saved.with_suffix(".part")
        torch.save(support, part)
        part.replace(saved)
        return support

    @staticmethod
    def _memory(grid: Tensor, own: Sequence[Example], words: Sequence[np.ndarray[Any, Any]]) -> SlotMemory:
        return collate(grid, [one.layout for one in own], [one.features for one in own], words)

    def validate(self) -> dict[str, float]:
        """Loss a token and concept average precision on val: watched, never trained on."""
        self.model.eval()
        everything = torch.ones(len(self.val), len(self.concepts))
        targets = self._targets(self.val, everything)
        total = count = 0.0
        scores = []
        with torch.inference_mode():
            for start in range(0, len(self.val), 32):
                batch = list(range(start, min(start + 32, len(self.val))))
                own = [self.val[i] for i in batch]
                memory = self._memory(
                    self._see(self.val_pictures[batch].float() / 255),
                    own,
                    [line_word_ids(one.lines, self.tokenizer) for one in own],
                )
                tokens = pad([targets[i] for i in batch])
                logits, concepts = self.model.decoder(memory, tokens[:, :-1])
                kept = int(((tokens[:, 1:] != 0) & (tokens[:, 1:] != self.tokenizer.id(UNK))).sum())
                total += float(_word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))) * kept
                count += kept
                scores.append(concepts)
        self.model.train()
        return {
            "val_loss": total / count,
            "val_concept_ap": average_precision(torch.cat(scores), self.val_labels),
        }

    # --- the loop ---

    def _stage(
        self,
        name: str,
        *,
        epochs: int,
        lengths: Sequence[int],
        optimizer: torch.optim.Optimizer,
        step: Callable[[list[int]], Tensor],
        extra: nn.Module | None = None,
        batch: int | None = None,
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        size = batch or self.recipe.batch
        schedule = _schedule(optimizer, epochs * math.ceil(len(lengths) / size))
        saved = self.work / f"{name}.pt"
        first = 0
        if saved.exists():
            state = torch.load(saved, weights_only=True)
            self.model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            if extra is not None:
                extra.load_state_dict(state["extra"])
            first, self.history = state["epoch"], state["history"]
            torch.set_rng_state(state["random"])
        self.model.decoder.train()
        for epoch in range(first, epochs):
            self.shuffle.seed(f"{self.recipe.seed} {name} {epoch}")
            losses: list[float] = []
            started = time.perf_counter()
            bar = tqdm(
                _batches(lengths, size, self.shuffle), desc=f"{name} {epoch + 1}/{epochs}", mininterval=5
            )
            for indices in bar:
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = step(indices)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(
                    [p for group in optimizer.param_groups for p in group["params"]], 1.0
                )
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                bar.set_postfix(loss=f"{sum(losses[-50:]) / len(losses[-50:]):.3f}")
            row = {
                "stage": name,
                "epoch": epoch + 1,
                "loss": sum(losses) / len(losses),
                **(measure() if measure else {}),
            }
            self.history.append({**row, "seconds": time.perf_counter() - started})
            print(json.dumps(row), flush=True)  # noqa: T201 - the run's record on the terminal
            part = saved.with_suffix(".part")
            torch.save(
                {
                    "model": self.model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "extra": extra.state_dict() if extra else {},
                    "epoch": epoch + 1,
                    "history": self.history,
                    "random": torch.get_rng_state(),
                },
                part,
            )
            part.replace(saved)


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """The mean over concepts that occur of the area under precision by recall."""
    values = []
    for score, label in zip(scores.T, labels.T, strict=True):
        if not label.any():
            continue
        hits = label[score.argsort(descending=True)]
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        values.append(float((precision * hits).sum() / hits.sum()))
    return sum(values) / max(len(values), 1)
