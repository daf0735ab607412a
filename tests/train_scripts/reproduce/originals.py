"""What each published captioner is made from, small and random, and when `reproduce` is killed on the way."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.host import Host
from tests.inference.decoders import test_rudolph as rudolph
from tests.inference.encoders import test_ruclip as ruclip
from tests.inference.encoders import test_vqgan as vqgan
from tests.inference.hub_cache import ENGLISH, save_marian
from tests.inference.learning import train_bpe
from tests.inference.tokenizers.test_vectors import write_navec
from tests.inference.tokenizers.test_youtokentome import RULES
from tests.inference.tokenizers.test_youtokentome import write as write_bpe
from tests.train_scripts.reproduce.standins import MEMES, caption, network, packed, picture

Files = Sequence[tuple[str, bytes]]
Entries = Mapping[str, Files]
TRANSLATOR = "Helsinki-NLP/opus-mt-en-ru"
VIZWIZ = {"train": range(2000, 2006), "val": range(2006, 2008)}


@dataclass(frozen=True)
class Original:
    """``settings``: what makes its recipe small; ``kills``: in which moments the command is killed, step by
    step; ``steps``: how many there are; ``model``: what the bot finds in the end.
    """

    settings: Mapping[str, object]
    kills: Sequence[tuple[str, int]]
    steps: int
    model: str
    entries: Callable[[Path], Entries]
    by_hand: bool = False  # the pictures of Flickr30k
    translates: bool = False  # by a model of the hub


def _saved(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _read(folder: Path, names: Iterable[str]) -> Files:
    return [(name, (folder / name).read_bytes()) for name in names]


def _resnet50(_: Path) -> Entries:
    return {"resnet50": [("resnet50-0676ba61.pth", network("resnet50"))]}


def _resnet101(folder: Path) -> Entries:
    words = ["кот", "собака", "человек", "рисунок", "сидит", "смотрит", "<unk>", "<pad>"]
    navec = "navec_hudlit_v1_12B_500K_300d_100q.tar"
    write_navec(folder / navec, words, parts=4, each=4)
    return {
        "resnet101": [("resnet101-63fe2227.pth", network("resnet101"))],
        "navec-hudlit": _read(folder, [navec]),
        "vizwiz-captions": [("vizwiz-captions.zip", _vizwiz())],
        **{f"vizwiz-{split}": [(f"vizwiz-{split}.zip", _vizwiz_pictures(split))] for split in VIZWIZ},
    }


def _vizwiz() -> bytes:
    """As its authors pack it: COCO's form, one file a split, that of the test without captions."""
    files: dict[str, str | bytes] = {"annotations/test.json": json.dumps({"images": []})}
    for split, numbers in VIZWIZ.items():
        rows = [{"image_id": one, "id": one, "caption": ENGLISH[one % len(ENGLISH)]} for one in numbers]
        images = [{"id": one, "file_name": f"VizWiz_{split}_{one:08}.jpg"} for one in numbers]
        files[f"annotations/{split}.json"] = json.dumps({"images": images, "annotations": rows})
    return packed(files)


def _vizwiz_pictures(split: str) -> bytes:
    return packed({f"{split}/VizWiz_{split}_{one:08}.jpg": picture(one) for one in VIZWIZ[split]})


def _clipcap(folder: Path) -> Entries:
    stated = {name: value for name, value in asdict(ruclip.SMALL).items() if name != "vision_heads"}
    write_bpe(folder / "bpe.model")
    train_bpe([caption(number) for number in MEMES["train"]], folder)
    sizes = GPT2Config(vocab_size=340, n_embd=16, n_layer=2, n_head=2, n_positions=96)
    torch.manual_seed(0)
    return {
        "ruclip-vit-base-patch32-384": [
            ("config.json", json.dumps(stated).encode()),
            *_read(folder, ["bpe.model"]),
            ("pytorch_model.bin", _saved(ruclip.original_state(ruclip.SMALL))),
        ],
        "rugpt3small": [
            ("config.json", sizes.to_json_string().encode()),
            *_read(folder, ["vocab.json", "merges.txt"]),
            ("pytorch_model.bin", _saved(GPT2LMHeadModel(sizes).state_dict())),
        ],
    }


def _rudolph(folder: Path) -> Entries:
    codes = vqgan.original_state()
    for name in ("quantize.proj.weight", "quantize.proj.bias", "quantize.embed.weight"):
        codes[name] = codes[name][:16].clone()
    write_bpe(folder / "bpe.model", [*RULES, (4, 5, 17), (17, 6, 18), (8, 9, 19)])
    return {
        "rudolph": [("pytorch_model.bin", _saved(rudolph.original_state(0))), *_read(folder, ["bpe.model"])],
        "vqgan-gumbel-f8": [("vqgan.gumbelf8-sber.model.ckpt", _saved({"state_dict": codes, "epoch": 1}))],
    }


_EVERYWHERE = {"save_steps": 1, "workers": 1, "stages.memes.epochs": 2}
_LSTM = {
    **_EVERYWHERE,
    "encoder.settings.preprocessing": "{size: 64}",
    "decoder.embedding": 16,
    "decoder.hidden": 16,
    "decoding": "{strategy: greedy, max_tokens: 8}",
    "stages.photos.epochs": 2,
}
_EYE = {
    name: value
    for name, value in asdict(ruclip.SMALL).items()
    if name in {"embed_dim", "image_resolution", "vision_layers", "vision_width", "vision_patch_size"}
}
_CODES = {
    "channels": vqgan.CHANNELS,
    "multipliers": list(vqgan.MULTIPLIERS),
    "blocks": vqgan.BLOCKS,
    "depth": vqgan.DEPTH,
    "codes": 16,
}
_MEMES = (r"os\.rename \S*meme-captions\.zip\.part", 1)  # all of it has come
_UNPACKED = (r"open \S*unpacked/\.memes\.part/\d+\.jpg w", 3)
_PREPARED = (r"os\.link \S*unpacked/memes", 3)
_END = (
    (r"os\.rename \S*report\.html", 1),
    (r"open \S*/test-\w+\.jsonl a", 2),
    (r"os\.rename \S*\.promoting/", 1),
)
_TWO_STAGES = (
    (r"open \S*/steps\.jsonl a", 2),  # of the first one
    (r"open \S*/epochs\.jsonl a", 3),  # of the second one
    *_END,
)
_ONE_STAGE = ((r"open \S*/steps\.jsonl a", 2), (r"open \S*/epochs\.jsonl a", 1), *_END)

ORIGINALS = {
    "resnet50-lstm": Original(
        settings=_LSTM,
        kills=(_MEMES, (r"open \S*resnet50\S*\.part w", 1), _UNPACKED, _PREPARED, *_TWO_STAGES),
        steps=11,
        model="resnet50-lstm",
        entries=_resnet50,
        by_hand=True,
    ),
    "resnet101-lstm-navec": Original(
        settings={**_LSTM, "mixed_precision": "no"},
        kills=(
            _MEMES,
            (r"open \S*vizwiz-val\S*\.part w", 1),
            (r"open \S*models--Helsinki\S*\.incomplete", 3),
            (r"os\.rename \S*navec\S*\.part", 1),
            (r"open \S*resnet101\S*\.part w", 1),
            (r"open \S*unpacked/\.vizwiz-images\.part/\S+\.jpg w", 7),  # of the second archive
            (r"open \S*data/vizwiz/prepare/translations\.jsonl a", 1),
            _PREPARED,
            *_TWO_STAGES,
        ),
        steps=19,
        model="resnet101-lstm-navec",
        entries=_resnet101,
        by_hand=True,
        translates=True,
    ),
    "clipcap-mlp": Original(
        settings={
            **_EVERYWHERE,
            "encoder.settings": json.dumps({**_EYE, "preprocessing": {"size": 32, "fit": "squash"}}),
            "decoder": "{pictures: [24], width: 16, layers: 2, heads: 2, positions: 96, prefix: 2}",
            "decoding": "{strategy: greedy, max_tokens: 8}",
            "stages.memes.schedule.warmup": 1,
        },
        kills=(
            _MEMES,
            (r"os\.rename \S*ruclip\S*pytorch_model\.bin\.part", 1),
            (r"open \S*rugpt3small/\S*\.part w", 3),
            _UNPACKED,
            _PREPARED,
            *_ONE_STAGE,
        ),
        steps=8,
        model="clipcap-mlp",
        entries=_clipcap,
    ),
    "rudolph": Original(
        settings={
            **_EVERYWHERE,
            "encoder.settings": json.dumps({**_CODES, "preprocessing": {"size": 2 * rudolph.SIDE}}),
            "decoding": "{strategy: greedy, max_tokens: 4}",
        },
        kills=(
            _MEMES,
            (r"open \S*rudolph/\S*\.part w", 2),
            (r"os\.rename \S*vqgan\S*\.part", 1),
            _UNPACKED,
            _PREPARED,
            *_ONE_STAGE,
        ),
        steps=8,
        model="rudolph-memes",
        entries=_rudolph,
    ),
}


def publish(host: Host, folder: Path) -> None:
    """Let a host answer for the translation model, which is made in this folder, as the hub does."""
    folder.mkdir()
    save_marian(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    commit = "1" * 40
    siblings = [{"rfilename": name} for name in files]
    about = {"id": TRANSLATOR, "modelId": TRANSLATOR, "sha": commit, "siblings": siblings}
    rows = [{"type": "file", "path": name, "size": len(data)} for name, data in files.items()]
    host.files[f"/api/models/{TRANSLATOR}/revision/main"] = json.dumps(about).encode()
    for revision in ("main", commit):
        tree = f"/api/models/{TRANSLATOR}/tree/{revision}?recursive=true&expand=false"
        host.files[tree] = json.dumps(
            [{**row, "oid": hashlib.sha1(str(row["path"]).encode()).hexdigest()} for row in rows]
        ).encode()
    for name, data in files.items():
        path = f"/{TRANSLATOR}/resolve/{commit}/{name}"
        host.files[path] = data
        host.etags[path] = f'"{hashlib.sha1(data).hexdigest()}"'
        host.headers[path] = {"X-Repo-Commit": commit}
