"""What is kept only with consent, and what is gone after an erasure."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from bot.feedback import files
from bot.feedback.database import NotStored
from bot.feedback.export import export
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Shown
from tests.bot.conftest import unfinished
from tests.bot.feedback.conftest import Chat, fields, kept, meme, said
from tests.drawing import draw_meme, png_bytes


async def test_bytes_are_kept_only_with_consent(chat: Chat, store: Store, data_dir: Path) -> None:
    await chat.answer(await chat.person(1, consent=False), meme("НЕТ"))
    assert kept(data_dir) == []
    data = meme("ДА")
    row = await chat.answer(await chat.person(2, consent=True), data)
    [path] = kept(data_dir)
    sha256 = fields(data).sha256
    assert path == data_dir / "pictures" / sha256[:2] / f"{sha256}.jpg"
    assert path.read_bytes() == data
    picture = await store.pictures.get(row.picture_id)
    assert picture is not None and picture.path is not None
    assert store.pictures.file(picture.path) == path
    assert (await store.reports.stats()).kept_pictures == 1


async def test_the_extension_is_that_of_the_real_format(chat: Chat, data_dir: Path) -> None:
    await chat.answer(await chat.person(1), png_bytes(draw_meme("photo", width=64)))
    assert [path.suffix for path in kept(data_dir)] == [".png"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"GIF89a", "gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
        (b"\0\0\0\x18ftypheic", "heic"),
        (b"\0\0\0\x18ftypavif", "avif"),
        (b"MM\0*", "tiff"),
        (b"II*\0", "tiff"),
        (b"BM6", "bmp"),
        (b"", "bin"),
        (b"hello, I am text", "bin"),
    ],
)
def test_extensions(start: bytes, expected: str) -> None:
    assert files.extension(start) == expected


async def test_withdrawing_consent_deletes_what_only_it_kept(
    chat: Chat, store: Store, data_dir: Path
) -> None:
    anna, boris = await chat.person(1), await chat.person(2)
    alone, shared = meme("ОДИН"), meme("ОБЩИЙ")
    mine = await chat.answer(anna, alone)
    await chat.answer(anna, shared)
    await chat.answer(boris, shared)
    await store.marks.rate(anna.id, mine.id, 5)
    assert len(kept(data_dir)) == 2
    await store.people.set_consent(anna.id, False)
    assert [path.read_bytes() for path in kept(data_dir)] == [shared]
    assert await store.marks.rating(anna.id, mine.id) == 5, "only the files go, not what was said"
    await store.people.set_consent(boris.id, False)
    assert kept(data_dir) == []
    assert (await store.reports.stats()).kept_pictures == 0


async def test_consent_given_later_does_not_keep_what_was_sent_before(
    chat: Chat, store: Store, data_dir: Path
) -> None:
    """The other person's consent at the time counts, not the one given since."""
    anna, boris = await chat.person(1), await chat.person(2, consent=False)
    data = meme()
    await chat.answer(anna, data)
    await chat.answer(boris, data)
    await store.people.set_consent(boris.id, True)
    await store.people.set_consent(anna.id, False)
    assert kept(data_dir) == []


async def test_a_cached_caption_can_still_keep_the_picture(chat: Chat, store: Store, data_dir: Path) -> None:
    data = meme()
    row = await chat.answer(await chat.person(1, consent=False), data)
    secret = await chat.job(await chat.person(2, consent=False), fields(data).file_unique_id)
    await store.captions.use(secret.id, row.id, data=data)
    assert kept(data_dir) == []
    willing = await chat.job(await chat.person(3), fields(data).file_unique_id)
    await store.captions.use(willing.id, row.id, data=data)
    assert [path.read_bytes() for path in kept(data_dir)] == [data]


async def test_erasing_leaves_nothing(
    chat: Chat, store: Store, data_dir: Path, tmp_path: Path, url: str
) -> None:
    anna, boris = await chat.person(1), await chat.person(2)
    own = await chat.answer(anna, meme("ТОЛЬКО АННА"), words=("ТОЛЬКО АННА",))
    shared = await chat.answer(anna, meme("ОБА"))
    his = await chat.answer(boris, meme("ОБА"))
    await store.marks.rate(anna.id, own.id, 1)
    await store.marks.correct(anna.id, own.id, "первое тайное слово")
    await store.marks.correct(anna.id, own.id, "второе тайное слово")
    await store.marks.rate(anna.id, his.id, 2)
    await store.marks.rate(boris.id, his.id, 5)
    await store.marks.rate(boris.id, own.id, 4)  # in a group he saw it too
    await store.messages.show(MessageKey.of(1, 50), Shown("prompt", caption_id=own.id, user_id=anna.id))
    await store.messages.show(MessageKey.of(1, 51), Shown("caption", caption_id=shared.id))
    await store.messages.show(MessageKey.of(-1, 52), Shown("caption", caption_id=shared.id))
    await store.messages.show(MessageKey.of(-1, 53), Shown("caption", caption_id=own.id))
    waiting = await chat.job(anna, "still-waiting")

    gone = await store.erasure.erase(anna.id)
    assert (gone.ratings, gone.corrections, gone.jobs) == (3, 2, 3)
    assert (gone.captions, gone.pictures, gone.files) == (1, 1, 1)

    assert await store.people.find(1) is None
    assert await store.captions.get(own.id) is None
    assert await store.pictures.get(own.picture_id) is None
    places = {number: MessageKey.of(1 if number < 52 else -1, number) for number in range(50, 54)}
    left = [number for number, place in places.items() if await store.messages.find(place) is not None]
    assert left == [52], "a description of Boris's picture in a group is not only Anna's"
    assert await unfinished(store) == []
    assert await store.captions.get(shared.id) is not None, "the picture is Boris's as well"
    assert [path.read_bytes() for path in kept(data_dir)] == [meme("ОБА")]
    assert [(item.mark, item.correction) async for item in store.reports.feedback()] == [(5, None)]
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.pictures) == (1, 1)
    exported = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json*"))
    assert "тайное" not in exported

    with pytest.raises(NotStored):
        await store.erasure.erase(anna.id)
    with pytest.raises(NotStored):  # a caption that was in work meanwhile
        await store.captions.save(waiting.id, picture=fields(meme("В РАБОТЕ")), caption=said())
    assert len(kept(data_dir)) == 1
    again = await store.people.meet(1, language="ru")
    assert again.id not in (anna.id, boris.id), "nobody inherits an erased person's number"
    assert not again.consent


async def test_erased_words_are_nowhere_in_the_database_files(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/bot.db", tmp_path) as store:
        chat = Chat(store)
        user = await chat.person(1)
        row = await chat.answer(user, meme())
        text = "a secret sentence that nobody may find"
        await store.marks.correct(user.id, row.id, text)

        def on_disk() -> bytes:
            return b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))

        assert text.encode() in on_disk()
        await store.erasure.erase(user.id)
        assert text.encode() not in on_disk()


async def test_a_file_that_cannot_be_deleted_now_goes_at_the_next_start(
    chat: Chat, store: Store, url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the erasure's commit and the deletion of the file."""
    user = await chat.person(1)
    await chat.answer(user, meme())

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        gone = await store.erasure.erase(user.id)
    assert (gone.pictures, gone.files) == (1, 0)
    assert len(kept(data_dir)) == 1
    async with await Store.open(url, data_dir):
        assert kept(data_dir) == []


async def test_a_full_disk_costs_the_picture_but_not_the_answer(
    chat: Chat, store: Store, data_dir: Path
) -> None:
    user = await chat.person(1)
    (data_dir / "pictures").write_text("in the way")  # nothing can be written below it
    row = await chat.answer(user, meme())
    picture = await store.pictures.get(row.picture_id)
    assert picture is not None and picture.path is None


async def test_no_file_is_left_when_the_caption_cannot_be_saved(
    chat: Chat, store: Store, data_dir: Path
) -> None:
    user = await chat.person(1)
    job = await chat.job(user, "u")
    await store.erasure.erase(user.id)
    with pytest.raises(NotStored):
        await store.captions.save(job.id, picture=fields(meme()), caption=said())
    assert kept(data_dir) == []


async def test_people_who_sent_one_picture_erase_themselves_at_once(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    """Through two stores: neither leaves the picture to the other, nor takes it from a third who sends it."""
    async with await Store.open(url, data_dir) as other:
        for turn in range(5):
            data = meme(f"КОТ {turn}")
            anna, boris, vera = [await chat.person(10 * turn + number) for number in (1, 2, 3)]
            await chat.answer(anna, data)
            await chat.answer(boris, data)
            _, _, row = await asyncio.gather(
                store.erasure.erase(anna.id),
                other.erasure.erase(boris.id),
                Chat(other, chat.numbers).answer(vera, data),
            )
            assert await store.captions.get(row.id) is not None, "an answer that was sent keeps its caption"
            await store.erasure.erase(vera.id)
            assert (await store.reports.stats()).pictures == 0
            assert kept(data_dir) == []
