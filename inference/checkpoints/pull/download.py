"""The bytes of one file over HTTP, taken up where they broke off: in this process or in the one before."""

from __future__ import annotations

import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from inference.checkpoints.pull.entries import PullError

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another try; a try that brought something starts them anew

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30.0  # seconds without a byte
_ETAG = ".etag"
_CUT_OFF = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)

Progress = Callable[[int, int | None], None]  # (bytes there, bytes in all or None)


def download(url: str, part: Path, tell: Progress, pauses: Sequence[float] = PAUSES) -> None:
    """Fills ``part`` to the file's end. What it holds stays, unless the server has another version by now.

    Raises PullError, which says how much is kept; OSError when ``part`` cannot be written.
    """
    tries = 0
    while True:
        before = size(part)
        try:
            return _attempt(url, part, before, tell)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in {408, 429}:
                raise PullError(_refused(url, error)) from error
            reason = f"{error.code} {error.reason}"
        except _CUT_OFF as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        now = size(part)
        if now > before:
            tries = 0
            continue
        if tries >= len(pauses):
            kept = f"; {now / 1e6:.1f} MB of it are kept, and the same command goes on from there"
            raise PullError(f"{url} cannot be fetched ({reason}): check the network{kept if now else ''}.")
        time.sleep(pauses[tries])
        tries += 1


def size(part: Path) -> int:
    """Bytes of the file that are there."""
    return part.stat().st_size if part.exists() else 0


def forget(part: Path) -> None:
    """Deletes what is there of a file."""
    forget_version(part)
    part.unlink(missing_ok=True)


def forget_version(part: Path) -> None:
    """Deletes the note of which version of the file this is a part of: it is whole."""
    _etag_file(part).unlink(missing_ok=True)


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + _ETAG)


def _refused(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in {401, 403}:
        return f"{url} is refused ({error.code} {error.reason}): it needs a right that this command lacks."
    reason = " ".join(str(error.reason).split())
    return f"{url} is not there ({error.code} {reason}): its author may have moved it, so look for it."


def _attempt(url: str, part: Path, there: int, tell: Progress) -> None:
    """One request for what is missing behind ``there`` bytes."""
    try:
        answer = urllib.request.urlopen(_request(url, part, there), timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            return _check_size(part, there, error)
        raise
    with answer:
        start = _start_of(answer, part, there)
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        _make_sure_of_room(part, start, total)
        _keep_version(part, answer)
        # Unbuffered: what has come is kept, whatever becomes of the process.
        with part.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            end = _copy(answer, file, start, total, tell)
    if total is not None and end < total:
        raise ConnectionError(f"the connection ended after {end} of {total} bytes")
    return None


def _request(url: str, part: Path, there: int) -> urllib.request.Request:
    headers = {"User-Agent": "meme-describer", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if _etag_file(part).exists():
            headers["If-Range"] = _etag_file(part).read_text(encoding="utf-8")
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked here
    if request.type not in {"http", "https"}:
        raise PullError(f"{url} is no address of the web: write http:// or https://.")
    return request


def _check_size(part: Path, there: int, error: urllib.error.HTTPError) -> None:
    """Nothing lies behind what is there: it is the whole file, or one of another size, which is deleted."""
    whole = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
    if whole != str(there):
        forget(part)
        raise ConnectionError("the file has another size than before") from error
    error.close()


def _start_of(answer: http.client.HTTPResponse, part: Path, there: int) -> int:
    """Where in the file the answer begins: behind what is there, or at 0."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0  # it sends the whole file: another version, or it cannot do otherwise
    start = re.match(r"bytes (\d+)-", str(answer.headers.get("Content-Range", "")))
    if not start or int(start[1]) != there:
        forget(part)
        raise ConnectionError("the server sent another part than was asked for")
    return there


def _keep_version(part: Path, answer: http.client.HTTPResponse) -> None:
    etag = str(answer.headers.get("ETag", ""))
    if etag.startswith('"'):
        _etag_file(part).write_text(etag, encoding="utf-8")
    else:
        forget_version(part)


def _copy(
    answer: http.client.HTTPResponse, file: IO[bytes], there: int, total: int | None, tell: Progress
) -> int:
    """Up to where the file is there then."""
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
