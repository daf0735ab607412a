"""A hub cache as the hub's client lays it out, with tiny random models in the formats of real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

# The sizes of small networks: of any, of one that sees, of one that speaks.
_LAYERS: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_TOWER = _LAYERS | {"image_size": 32, "patch_size": 8}
_LANGUAGE = _LAYERS | {"num_key_value_heads": 2, "max_position_embeddings": 4096}

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
        sentence_iterator=iter([*sentences] * 20),
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


def _bytes_tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE as GPT-2, Llama 3 and Qwen have it: any text survives it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([*RUSSIAN, *ENGLISH], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0], pad_token=special[0])


def _shake(model: torch.nn.Module, seed: int, scale: float = 8.0) -> None:
    """Random weights large enough that what is said depends on the picture."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                size = scale * 0.1
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)


def save_encoder_decoder(folder: Path, *, seed: int = 0) -> None:
    """ViT and GPT-2, as tuman/vit-rugpt2-image-captioning is."""
    tokenizer = _bytes_tokenizer("<|endoftext|>")
    eos = tokenizer.eos_token_id
    encoder = ViTConfig(**_TOWER)
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=eos,
        eos_token_id=eos,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = VisionEncoderDecoderModel(config)
    _shake(model, seed)
    model.generation_config.decoder_start_token_id = eos
    model.generation_config.eos_token_id = eos
    model.generation_config.pad_token_id = eos
    model.generation_config.num_beams = 3
    model.generation_config.max_new_tokens = 24
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def save_blip(folder: Path, *, seed: int = 0) -> None:
    """BLIP with an English vocabulary of words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "[ENC]"]
    words += sorted({word for sentence in ENGLISH for word in sentence.split()})
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(
        str(folder / "vocab.txt"), bos_token="[DEC]", additional_special_tokens=["[ENC]"]
    )
    text = {
        **_LAYERS,
        "vocab_size": len(words),
        "encoder_hidden_size": 16,
        "bos_token_id": 4,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
        "max_position_embeddings": 64,
    }
    config = BlipConfig(text_config=text, vision_config=_TOWER, projection_dim=16)
    model = BlipForConditionalGeneration(config)
    _shake(model, seed)
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(images, tokenizer).save_pretrained(folder)


def save_llava(folder: Path, *, seed: int = 0) -> None:
    """LLaVA: a CLIP tower and Llama, with a chat template."""
    tokenizer = _bytes_tokenizer("</s>", "<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_TOWER),
        text_config=LlamaConfig(
            **_LANGUAGE, vocab_size=len(tokenizer), eos_token_id=0, bos_token_id=0, pad_token_id=0
        ),
        image_token_index=1,
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    _shake(model, seed, 4.0)
    model.generation_config.eos_token_id = 0
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    template = (
        "{% for message in messages %}USER: {% for part in message.content %}{% if part.type == 'image' %}"
        "<image>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
    )
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)


def save_qwen_vl(folder: Path, *, seed: int = 0) -> None:
    """Qwen2-VL: pictures of any shape, 14-pixel patches joined in fours, rotary positions in three axes."""
    special = (
        "<|im_end|>",
        "<|im_start|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    tokenizer = _bytes_tokenizer(*special)
    config = Qwen2VLConfig(
        text_config={
            **_LANGUAGE,
            "vocab_size": len(tokenizer),
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2},
        vision_start_token_id=2,
        vision_end_token_id=3,
        image_token_id=4,
        video_token_id=5,
    )
    model = Qwen2VLForConditionalGeneration(config)
    _shake(model, seed, 4.0)
    model.generation_config.eos_token_id = [0, 1]
    model.generation_config.pad_token_id = 0
    model.generation_config.do_sample = True
    model.generation_config.top_k = 1
    model.generation_config.repetition_penalty = 1.05
    model.save_pretrained(folder)
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    Qwen2VLProcessor(
        Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=template,
    ).save_pretrained(folder)
