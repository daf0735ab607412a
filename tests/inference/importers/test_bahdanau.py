"""The Bahdanau captioner's checkpoints of TensorFlow against its code, written anew with Keras's formulas.

TensorFlow's own run of that code agreed too, within 2e-6, when this was written.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.weight_files.state import ImportFailed
from inference.importers.bahdanau import import_bahdanau
from inference.importers.convert import convert
from inference.importers.family import Request
from tests.inference.tensorflow_files import write_checkpoint, zipped

Array = npt.NDArray[np.float32]
# As StringLookup gives them: its own two are texts of Python, the others of numpy.
WORDS = ["", "[UNK]", *map(np.str_, ("a", "<bos>", "<eos>", "man", "кот", "the"))]
PICTURE, EMBEDDING, UNITS = 2048, 10, 16


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


class Original:
    """``CNN_Encoder`` and ``RNN_Attn_Decoder`` with random variables."""

    def __init__(self, *, gru: bool) -> None:
        self.gru = gru
        draw = np.random.default_rng(0)
        gates, asked = (3, UNITS) if gru else (4, 2 * UNITS)
        shapes: dict[str, tuple[int, ...]] = {
            "embedding/embeddings": (len(WORDS), EMBEDDING),
            "rnn/kernel": (UNITS + EMBEDDING, gates * UNITS),
            "rnn/recurrent_kernel": (UNITS, gates * UNITS),
            "rnn/bias": (2, gates * UNITS) if gru else (gates * UNITS,),
        }
        layers = {"fc": (UNITS, UNITS), "fc_vocab": (UNITS, len(WORDS)), "fc_m0": (PICTURE, UNITS)}
        layers |= {} if gru else {"fc_c0": (PICTURE, UNITS)}
        layers |= {"attention/fc_attn": (UNITS, UNITS), "attention/fc_hidden": (asked, UNITS)}
        layers |= {"attention/fc_v": (UNITS, 1)}
        for name, shape in layers.items():
            shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
        self.spoken = {name: draw.normal(0, 0.2, shape).astype("f") for name, shape in shapes.items()}
        self.seen = {"fc_attn/kernel": draw.normal(0, 0.1, (PICTURE, UNITS)).astype("f")}
        self.seen["fc_attn/bias"] = draw.normal(0, 0.1, UNITS).astype("f")

    def dense(self, name: str, x: Array) -> Array:
        return np.asarray(x @ self.spoken[f"{name}/kernel"] + self.spoken[f"{name}/bias"])

    def cell(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        kernel, inner, bias = (self.spoken[f"rnn/{name}"] for name in ("kernel", "recurrent_kernel", "bias"))
        if not self.gru:
            i, f, g, o = np.split(x @ kernel + h @ inner + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            return sigmoid(o) * np.tanh(c), c
        own, old = np.split(x @ kernel + bias[0], 3), np.split(h @ inner + bias[1], 3)
        z, r = sigmoid(own[0] + old[0]), sigmoid(own[1] + old[1])
        return z * h + (1 - z) * np.tanh(own[2] + r * old[2]), c

    def logits(self, grid: Array, words: list[int]) -> Array:
        """One picture's (places, 2048); what follows each word."""
        features = np.maximum(grid @ self.seen["fc_attn/kernel"] + self.seen["fc_attn/bias"], 0)
        pooled = grid.mean(0)
        h = np.maximum(self.dense("fc_m0", pooled), 0)
        c = h if self.gru else np.maximum(self.dense("fc_c0", pooled), 0)
        said = []
        for word in words:
            asked = self.dense("attention/fc_hidden", h if self.gru else np.concatenate([h, c]))
            mixed = np.tanh(self.dense("attention/fc_attn", features) + asked)
            score = self.dense("attention/fc_v", mixed)[:, 0]
            weights = np.exp(score - score.max())
            context = weights @ features / weights.sum()
            x = np.concatenate([context, self.spoken["embedding/embeddings"][word]])
            h, c = self.cell(x, h, c)
            said.append(self.dense("fc_vocab", np.maximum(self.dense("fc", h), 0)))
        return np.stack(said)

    def write(self, folder: Path) -> list[Path]:
        """Its three public files."""
        written = []
        for name, variables in (("encoder_weights", self.seen), ("decoder_weights", self.spoken)):
            write_checkpoint(folder / name, variables)
            written.append(zipped(folder / f"{name}.zip", folder / name))
        vocabulary = folder / "vocabulary.pkl"
        vocabulary.write_bytes(pickle.dumps(WORDS))
        return [*written, vocabulary]


@pytest.mark.parametrize("gru", [False, True], ids=["lstm", "gru"])
def test_its_public_files_are_the_original(gru: bool, tmp_path: Path) -> None:
    original = Original(gru=gru)
    torch.manual_seed(0)
    network = torchvision.models.inception_v3(weights=None, init_weights=False).eval()
    torch.save(network.state_dict(), tmp_path / "inception_v3_google.pth")
    request = Request(tuple(original.write(tmp_path)), tmp_path, encoder=tmp_path / "inception_v3_google.pth")
    assert convert(request, tmp_path / "out").name == "bahdanau"
    model = CaptionModel.load(tmp_path / "out")
    assert (model.special.pad, model.special.bos, model.special.eos) == (0, 3, 4)
    grids = np.random.default_rng(1).random((2, 64, PICTURE), np.float32)
    words = [[3, 5, 2, 6, 7], [3, 7, 7, 2, 4]]
    with torch.no_grad():
        found = model.decoder(torch.from_numpy(grids), torch.tensor(words))
    for i in range(2):
        np.testing.assert_allclose(found[i], original.logits(grids[i], words[i]), atol=1e-5)


def test_what_torch_cannot_compute_or_is_another_file_is_refused() -> None:
    def tensors(variables: dict[str, Array]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(value) for name, value in variables.items()}

    original = Original(gru=True)
    seen, spoken = tensors(original.seen), tensors(original.spoken)
    with pytest.raises(ImportFailed, match="reset_after=False"):
        import_bahdanau(seen, {**spoken, "rnn/bias": spoken["rnn/bias"][0]})
    with pytest.raises(ImportFailed, match=r"no Bahdanau captioner: it has no tensor 'fc_vocab/bias'"):
        import_bahdanau(seen, {k: v for k, v in spoken.items() if k != "fc_vocab/bias"})
    with pytest.raises(ImportFailed, match="captioner's encoder: it has no tensor 'fc_attn/kernel'"):
        import_bahdanau({}, spoken)
