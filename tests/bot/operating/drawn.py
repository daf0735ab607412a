"""A store as after a month of work, with drawn memes."""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta

from bot.feedback.states import JobState
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Job, Picture, Rating, now
from tests.drawing import Kind, draw_meme, jpeg_bytes

KINDS: tuple[Kind, ...] = ("caption_bar", "tweet")
MODELS = (("meme-small", (1, 4, 8, 9, 5)), ("clipcap-small", (4, 8, 7, 3, 1)))  # how often each mark
SAID = (
    "Мужчина смотрит на экран. Сверху написано: «КОГДА НАШЁЛ ОШИБКУ». Снизу: «ОНА БЫЛА В ТЕСТЕ».",
    "Белый прямоугольник с чёрными буквами.",
    "На картинке два кадра, в каждом по одной надписи.",
)


async def fill(store: Store, *, days: int = 30, pictures: int = 240) -> None:
    """People, pictures that they let be kept, captions, marks and failures over so many days."""
    chance = random.Random(7)
    drawn = [jpeg_bytes(draw_meme(kind, width=360)) for kind in KINDS]
    people = [await store.people.meet(5000 + number, language="ru") for number in range(12)]
    for person in people[:9]:
        await store.people.set_consent(person.id, True)
    for number in range(pictures):
        data, person = drawn[number % 2], chance.choice(people)
        # More and more of them, and fewer at night.
        moment = now() - timedelta(days=days * (1 - (number / pictures) ** 0.7), hours=chance.random() * 8)
        kept = person in people[:9]
        sha256 = hashlib.sha256(data + str(number).encode()).hexdigest()
        path = f"pictures/{sha256[:2]}/{sha256}.jpg"
        if kept:
            file = store.pictures.file(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        model, weights = MODELS[number % 3 == 2]
        failed = number % 23 == 5
        async with store.sessions.transaction() as session:
            picture = Picture(
                file_unique_id=f"drawn{number}",
                sha256=sha256,
                size=len(data),
                width=360,
                height=270,
                path=path if kept else None,
                created_at=moment,
            )
            session.add(picture)
            await session.flush()
            caption = CaptionRow(
                picture_id=picture.id,
                model=model,
                checkpoint=hashlib.sha256(model.encode()).hexdigest(),
                options={},
                options_key="default",
                summary="",
                text=SAID[number % len(SAID)],
                words=["КОГДА НАШЁЛ ОШИБКУ"],
                seconds={},
                confidence=0.9,
                notes=[],
                created_at=moment,
            )
            session.add(caption)
            await session.flush()
            session.add(
                Job(
                    user_id=person.id,
                    chat_id=person.telegram_id,
                    message_id=number,
                    kind="caption",
                    file_id=f"drawn{number}",
                    file_unique_id=f"drawn{number}",
                    options_key="default",
                    model=model,
                    language="ru",
                    state=JobState.FAILED if failed else JobState.ANSWERED,
                    attempts=1,
                    caption_id=None if failed else caption.id,
                    keeps_picture=kept,
                    failure=chance.choice(["too_costly", "not_a_picture", "timeout"]) if failed else None,
                    created_at=moment,
                    updated_at=moment,
                )
            )
            if not failed and chance.random() < 0.6:
                mark = chance.choices(range(1, 6), weights)[0]
                session.add(
                    Rating(
                        user_id=person.id,
                        caption_id=caption.id,
                        mark=mark,
                        created_at=moment,
                        updated_at=moment,
                    )
                )
