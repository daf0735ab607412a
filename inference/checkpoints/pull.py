"""Known public weights, fetched once: with a way back into an interrupted download, and a check of what came.

An entry's files lie in ``models_dir/NAME/`` under the names their authors gave them, with a manifest of their
sha256. A sha256 that is known beforehand is compared: one written here or in a list of one's own, the
digits in torchvision's file names, or what the Hugging Face hub says of its large files. Where there is none,
the one that was computed is recorded and called so.

Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inference.checkpoints import manifest
from inference.common.file_names import is_plain
from inference.common.locks import Locked, locked
from inference.common.types import EngineError

_HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another try; a try that brought something starts them anew
_DIGITS = re.compile(
    r"-([0-9a-f]{8})\.[a-z]+$"
)  # torchvision's file names end with the sha256's first digits
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = ".etag"
_ADDRESS_MARKS = "%/:?#[]@!$&'()*+,;=~"  # what an address may hold besides letters and digits
_CUT_OFF = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)

Progress = Callable[[int, int | None], None]  # (bytes there, bytes in all or None)


class PullError(EngineError):
    """A file cannot be fetched, or is not what it should be: ``str()`` is one sentence."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One file to fetch.

    ``url``: http(s), ``hf:ORG/REPOSITORY/FILE`` of the Hugging Face hub, or ``torchvision:MODEL/WEIGHTS`` of
    torchvision's enum. ``member``: the file to take out of a zip archive, which is then deleted.
    """

    url: str
    sha256: str = ""  # 64 hexadecimal digits where they are known
    file: str = ""  # its name here; "": as in the address
    member: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """Files that belong together."""

    name: str
    what: str  # one line
    files: tuple[Remote, ...]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one file."""

    path: Path
    sha256: str
    checked: str  # against what: "published", "hub", "name"; "" where nothing is known
    fetched: bool  # False: it was there already, and is as it was recorded


def _hub(repository: str, *files: str) -> tuple[Remote, ...]:
    return tuple(Remote(f"hf:{repository}/{file}") for file in files)


def _vision(name: str, model: str, weights: str = "IMAGENET1K_V1") -> Weights:
    return Weights(name, f"torchvision's {model}, {weights}", (Remote(f"torchvision:{model}/{weights}"),))


_CLIP_FILES = ("config.json", "bpe.model", "pytorch_model.bin")
_FASTTEXT = "https://dl.fbaipublicfiles.com/fasttext"
_ALL = (
    _vision("resnet34", "resnet34"),
    _vision("resnet50", "resnet50"),
    _vision("resnet101", "resnet101"),
    _vision("resnext101", "resnext101_32x8d"),
    _vision("densenet121", "densenet121"),
    _vision("inception_v3", "inception_v3"),
    _vision("mobilenet_v3_small", "mobilenet_v3_small"),
    _vision("fasterrcnn_fpn", "fasterrcnn_resnet50_fpn", "COCO_V1"),
    *(
        Weights(
            f"ruclip-vit-{size}", f"ruCLIP, ViT {size}", _hub(f"ai-forever/ruclip-vit-{size}", *_CLIP_FILES)
        )
        for size in (
            "base-patch32-224",
            "base-patch16-224",
            "large-patch14-224",
            "large-patch14-336",
            "base-patch32-384",
            "base-patch16-384",
        )
    ),
    Weights(
        "clip-vit-b-32",
        "OpenAI's CLIP ViT-B/32, the eye of the published English ClipCap",
        (
            # The address itself names the sha256: github.com/openai/CLIP, clip/clip.py.
            Remote(
                "https://openaipublic.azureedge.net/clip/models/"
                "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
                sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            ),
        ),
    ),
    Weights(
        "rugpt3small",
        "ruGPT-3 small, a Russian GPT-2",
        _hub(
            "ai-forever/rugpt3small_based_on_gpt2",
            "config.json",
            "vocab.json",
            "merges.txt",
            "pytorch_model.bin",
        ),
    ),
    Weights(
        "gpt2",
        "OpenAI's GPT-2 small, English",
        _hub("openai-community/gpt2", "config.json", "vocab.json", "merges.txt", "pytorch_model.bin"),
    ),
    Weights(
        "clipcap-coco",
        "ClipCap with an MLP mapper, trained on COCO, English",
        _hub("akhaliq/CLIP-prefix-captioning-COCO-weights", "coco_weights.pt"),
    ),
    Weights(
        "clipcap-conceptual",
        "ClipCap with an MLP mapper, trained on Conceptual Captions, English",
        _hub("akhaliq/CLIP-prefix-captioning-conceptual-weights", "conceptual_weights.pt"),
    ),
    Weights(
        "rudolph",
        "RuDOLPH-350M with its tokenizer",
        (
            *_hub("sberbank-ai/RuDOLPH-350M", "pytorch_model.bin"),
            *_hub("sberbank-ai/rudalle-utils", "bpe.model"),
        ),
    ),
    Weights(
        "vqgan-gumbel-f8",
        "The VQGAN whose codes RuDOLPH reads",
        _hub("sberbank-ai/rudalle-utils", "vqgan.gumbelf8-sber.model.ckpt"),
    ),
    Weights(
        "navec-hudlit",
        "navec: 500,000 Russian words, 300 numbers each",
        (
            Remote(
                "https://storage.yandexcloud.net/natasha-navec/packs/navec_hudlit_v1_12B_500K_300d_100q.tar"
            ),
        ),
    ),
    Weights(
        "glove-6b",
        "GloVe 6B: 400,000 English words, 300 numbers each",
        (Remote("hf:stanfordnlp/glove/glove.6B.zip", member="glove.6B.300d.txt"),),
    ),
    Weights(
        "fasttext-crawl",
        "fastText crawl: 2,000,000 English words, 300 numbers each",
        (Remote(f"{_FASTTEXT}/vectors-english/crawl-300d-2M.vec.zip", member="crawl-300d-2M.vec"),),
    ),
    Weights(
        "fasttext-ru",
        "fastText crawl: 2,000,000 Russian words, 300 numbers each",
        (Remote(f"{_FASTTEXT}/vectors-crawl/cc.ru.300.vec.gz"),),
    ),
)
KNOWN: dict[str, Weights] = {weights.name: weights for weights in _ALL}


def read_list(path: Path) -> dict[str, Weights]:
    """Entries of a list of one's own: JSON, ``[{"name", "what", "files": [{"url", "sha256", "file",
    "member"}]}]``, where only names and addresses must be given. Raises PullError.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        entries = [
            Weights(
                str(row["name"]), str(row.get("what", "")), tuple(Remote(**file) for file in row["files"])
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PullError(
            f'{path} is no list of weights ({error}): it must be JSON, [{{"name": ..., "files": [{{"url": '
            "...}]}]."
        ) from error
    for entry in entries:
        if not is_plain(entry.name):
            raise PullError(f"{path} names an entry {entry.name!r}, which is no name of a folder: change it.")
    return {entry.name: entry for entry in entries}


def find_pulled(models_dir: Path, name: str) -> Path | None:
    """The folder of an entry whose files have all been fetched; None where they have not."""
    folder = models_dir / name
    try:
        there = [file for file in manifest.read_manifest(folder) if (folder / file).is_file()]
    except manifest.ManifestError:
        return None
    expected = len(KNOWN[name].files) if name in KNOWN else 1
    return folder if len(there) >= expected else None


def pull(
    weights: Weights,
    models_dir: Path,
    *,
    progress: Callable[[str], contextlib.AbstractContextManager[Progress]] | None = None,
    pauses: Sequence[float] = _PAUSES,
) -> Iterator[Pulled]:
    """Fetches what is missing of an entry's files, one after the other, each told when it is done.

    ``progress``: opens a display for a file's name. ``pauses``: seconds before each further try.

    Raises PullError when a file cannot be fetched, is not what it should be, or there is no room for it.
    """
    folder = models_dir / weights.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for remote in weights.files:
            yield _pull_file(remote, folder, progress or (lambda _: contextlib.nullcontext(_silent)), pauses)
    except OSError as error:
        raise PullError(
            f"{folder} cannot be written ({error.strerror or error}): make room or name another --models-dir."
        ) from error


def _silent(there: int, in_all: int | None) -> None:
    pass


def _pull_file(
    remote: Remote,
    folder: Path,
    progress: Callable[[str], contextlib.AbstractContextManager[Progress]],
    pauses: Sequence[float],
) -> Pulled:
    url = _address(remote.url)
    name = remote.file or urllib.parse.unquote(url.split("?", 1)[0].rsplit("/", 1)[-1])
    for kept in (name, remote.member or name):
        if not is_plain(kept):
            raise PullError(
                f"{url} would be kept as {kept!r}, which is no file's name: give it a file of one."
            )
    final = folder / (remote.member or name)
    recorded = _recorded(folder, final)
    if recorded and manifest.sha256_of(final) == recorded["sha256"]:
        known = not remote.sha256 or remote.member or remote.sha256 == recorded["sha256"]
        if known:
            return Pulled(final, recorded["sha256"], recorded.get("checked", ""), fetched=False)
    part = folder / f"{name}.part"
    with _locked(part), progress(final.name) as tell:
        found, checked = _checked_download(remote, url, part, tell, pauses)
        if remote.member:
            _take_out(part, remote.member, final)
            found = manifest.sha256_of(final)
        else:
            part.replace(final)
        about = {"url": url, "checked": checked}
        manifest.record(folder, {final.name: manifest.entry_of(final, **about)})
    return Pulled(final, found, checked, fetched=True)


def _recorded(folder: Path, final: Path) -> manifest.Entry | None:
    if not final.is_file():
        return None
    try:
        return manifest.read_manifest(folder).get(final.name)
    except manifest.ManifestError:
        return None


def _address(url: str) -> str:
    """http(s) of one of the short forms, in ASCII. Raises PullError when it is no address."""
    scheme, _, rest = url.partition(":")
    try:
        if scheme == "hf":
            organisation, repository, file = rest.split("/", 2)
            url = f"{_HUB}/{organisation}/{repository}/resolve/main/{file}"
        elif scheme == "torchvision":
            import torchvision  # noqa: PLC0415 - heavy, and only for its own files

            model, _, weights = rest.partition("/")
            url = torchvision.models.get_model_weights(model)[weights].url
        elif not urllib.parse.urlsplit(url).hostname:
            raise ValueError(url)
    except (ValueError, KeyError) as error:
        raise PullError(
            f"{url!r} is no address of weights: write https://..., hf:ORG/REPOSITORY/FILE or "
            "torchvision:MODEL/WEIGHTS."
        ) from error
    return urllib.parse.quote(url, safe=_ADDRESS_MARKS)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """One process at a time writes a file."""
    lock = part.with_suffix(".lock")
    try:
        with locked(lock):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Locked as error:
        raise PullError(f"{part.stem} is being fetched by another process: wait for it.") from error


def _checked_download(
    remote: Remote, url: str, part: Path, tell: Progress, pauses: Sequence[float]
) -> tuple[str, str]:
    """(sha256, against what it was compared). What does not agree is deleted; what had been continued from an
    earlier run is fetched once more from its beginning first."""
    while True:
        continued = part.exists() and part.stat().st_size > 0
        stated = _download(url, part, tell, pauses)
        found = manifest.sha256_of(part)
        expected, checked = remote.sha256.lower(), "published"
        if not expected and _SHA256.fullmatch(stated):
            expected, checked = stated, "hub"
        if not expected and (digits := _DIGITS.search(url)):
            expected, checked = digits[1], "name"
        if not expected:
            return found, ""
        if found.startswith(expected):
            _forget(part, keep=True)
            return found, checked
        _forget(part)
        if not continued:
            raise PullError(
                f"{url} has the sha256 {found}, but {expected} was expected: the file was deleted, so try "
                "again later or fetch it from another source."
            )


def _forget(part: Path, *, keep: bool = False) -> None:
    part.with_name(part.name + _ETAG).unlink(missing_ok=True)
    if not keep:
        part.unlink(missing_ok=True)


def _download(url: str, part: Path, tell: Progress, pauses: Sequence[float]) -> str:
    """Fills ``part`` to its end; the sha256 that the hub states, "" elsewhere."""
    tries = 0
    while True:
        there = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(url, part, there, tell)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in {408, 429}:
                raise PullError(_refused(url, error)) from error
            reason = f"{error.code} {error.reason}"
        except _CUT_OFF as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        now = part.stat().st_size if part.exists() else 0
        tries = 0 if now > there else tries
        if now <= there:
            if tries >= len(pauses):
                done = f"; {now / 1e6:.1f} MB of it are kept, and the same command goes on from there"
                raise PullError(
                    f"{url} cannot be fetched ({reason}): check the network{done if now else ''}."
                )
            time.sleep(pauses[tries])
            tries += 1


def _refused(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in {401, 403}:
        return f"{url} is refused ({error.code} {error.reason}): it needs a right that this command lacks."
    reason = " ".join(str(error.reason).split())
    return f"{url} is not there ({error.code} {reason}): its author may have moved it, so look for it."


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The hub states a large file's sha256 where it sends one on to the place of the file."""

    def __init__(self) -> None:
        self.stated = ""

    def redirect_request(self, *asked: Any) -> urllib.request.Request | None:
        """``asked``: request, answer, code, message, headers, the new address."""
        self.stated = _stated(asked[4]) or self.stated
        return super().redirect_request(*asked)


def _stated(headers: Any) -> str:
    return str(headers.get("X-Linked-ETag", "")).removeprefix("W/").strip('"').lower()


def _attempt(url: str, part: Path, there: int, tell: Progress) -> str:
    """One request for what is missing behind ``there`` bytes."""
    etag_file = part.with_name(part.name + _ETAG)
    headers = {"User-Agent": "meme-describer", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if etag_file.exists():
            headers["If-Range"] = etag_file.read_text(encoding="utf-8")
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked here
    if request.type not in {"http", "https"}:
        raise PullError(f"{url} is no address of the web: write http:// or https://.")
    try:
        answer = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:
            raise
        # Nothing lies behind what is there: it is the whole file, or one of another size.
        size = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if size == str(there):
            return redirects.stated
        _forget(part)
        raise ConnectionError("the file has another size than before") from error
    with answer:
        stated = _stated(answer.headers) or redirects.stated
        length = answer.headers.get("Content-Length")
        start = re.match(r"bytes (\d+)-", str(answer.headers.get("Content-Range", "")))
        if answer.status != 206 or not start or int(start[1]) != there:
            if answer.status == 206:
                _forget(part)
                raise ConnectionError("the server sent another part than was asked for")
            there = 0  # it sends the file from its beginning: another version, or it cannot do otherwise
        total = None if length is None else there + int(length)
        _make_sure_of_room(part, there, total)
        etag = str(answer.headers.get("ETag", ""))
        if etag.startswith('"'):
            etag_file.write_text(etag, encoding="utf-8")
        else:
            etag_file.unlink(missing_ok=True)
        # Unbuffered: what has come is kept, whatever becomes of the process.
        with part.open("r+b" if there else "wb", buffering=0) as file:
            file.seek(there)
            there = _copy(answer, file, there, total, tell)
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended after {there} of {total} bytes")
    return stated


def _copy(
    answer: http.client.HTTPResponse, file: IO[bytes], there: int, total: int | None, tell: Progress
) -> int:
    tell(there, total)
    while chunk := answer.read1(_CHUNK):
        file.write(chunk)
        there += len(chunk)
        tell(there, total)
    return there


def _make_sure_of_room(part: Path, there: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - there > free:
        raise PullError(
            f"{part.stem} needs {(total - there) / 1e9:.1f} GB more, {part.parent} has {free / 1e9:.1f} GB "
            "free: make room or name another --models-dir."
        )


def _take_out(archive: Path, member: str, final: Path) -> None:
    """One file of a zip archive, which is deleted then."""
    part = final.with_name(f"{final.name}.part")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
    except (zipfile.BadZipFile, KeyError) as error:
        _forget(archive)
        raise PullError(f"{archive.stem} is no archive with a {member} in it: try again later.") from error
    part.replace(final)
    archive.unlink()
