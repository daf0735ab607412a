"""A hub cache as the hub's client lays it out, with tiny random models in the formats of real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import sentencepiece
import torch
from transformers import BertConfig, BertModel, MarianConfig, MarianMTModel, MarianTokenizer

ENGLISH = (
    "a cat sits on the sofa",
    "two dogs look at a cake",
    "a man in a hat holds a phone",
    "the text says hello",
)
RUSSIAN = (
    "кот сидит на диване",
    "две собаки смотрят на торт",
    "человек в шляпе держит телефон",
    "надпись гласит привет",
)


def publish(cache: Path, repo: str, save: Callable[[Path], None], *, revision: str = "main") -> str:
    """Puts what ``save`` writes into the cache as the repository's newest snapshot; returns its commit."""
    commit = hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()
    folder = cache / ("models--" + repo.replace("/", "--"))
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    save(snapshot)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / revision).write_text(commit)
    return commit


def _pieces(folder: Path, name: str, sentences: Sequence[str]) -> list[str]:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 20),
        model_prefix=str(folder / name),
        vocab_size=60,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    (folder / f"{name}.vocab").unlink()
    (folder / f"{name}.model").rename(folder / f"{name}.spm")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]


def save_marian(folder: Path, *, languages: Sequence[str] = (), safe: bool = True, seed: int = 0) -> None:
    """A translation model as opus-mt has them: two sentencepiece models and one vocabulary."""
    pieces = [*_pieces(folder, "source", ENGLISH), *_pieces(folder, "target", RUSSIAN)]
    special = ("</s>", "<unk>", "<pad>")
    words = [
        *dict.fromkeys((*special[:2], *languages, *(one for one in pieces if one not in special))),
        "<pad>",
    ]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        model_max_length=40,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    pad = len(words) - 1
    config = MarianConfig(
        vocab_size=len(words),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=40,
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        init_std=1.0,
    )
    model = MarianMTModel(config)
    model.generation_config.num_beams = 4
    model.generation_config.max_length = 30
    model.generation_config.bad_words_ids = [[pad]]
    # Random weights say one word again and again; this way the words depend on what was read.
    model.generation_config.no_repeat_ngram_size = 1
    if safe:
        model.save_pretrained(folder)
    else:
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")


def save_bert(folder: Path) -> None:
    """A model of another kind altogether."""
    config = BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    BertModel(config).save_pretrained(folder)
