"""Another version of a caption, and showing a caption whose sending was interrupted."""

from __future__ import annotations

import zlib
from contextlib import suppress

from aiogram import Bot, Router
from aiogram.exceptions import AiogramError
from aiogram.types import CallbackQuery

from bot.captioning import Captioning, QueueFull
from bot.common.nursery import Nursery
from bot.feedback.database import NotStored
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Choice, User
from bot.feedback.usage import DayFull
from bot.handlers.accepting import refusal
from bot.handlers.common import Pressed, answer, edit, once_saved
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.messages.targets import Found
from bot.texts import Texts, sentences
from inference.common.types import DecodingOptions


def router() -> Router:
    """A new router."""
    made = Router(name="variant")
    made.callback_query.register(another, Pressed("variant"))
    made.callback_query.register(show, Pressed("show"))
    return made


def variant_options(callback_id: str) -> DecodingOptions:
    """A sampled caption. Another press gives another seed; the same press, delivered twice, the same one."""
    seed = zlib.crc32(callback_id.encode())
    return DecodingOptions(strategy="sample", temperature=0.8, top_p=0.9, seed=seed)


async def another(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    captioning: Captioning,
    nursery: Nursery,
) -> None:
    """Describe the same picture once more, differently, in a message of its own."""
    message = callback.message
    if message is None:
        await answer(callback)
        return
    caption_id, job_id = press.caption_id, press.shown.job_id
    shown = await store.jobs.get(job_id) if job_id is not None else None
    # Without the job of this message (its person was erased) any other about this picture has its file.
    source = shown or await store.jobs.of_caption(caption_id, message.chat.id, message.message_id)
    row = await store.captions.get(caption_id)
    if source is None or row is None:
        await answer(callback, words(sentences.VARIANT_NO_PICTURE), alert=True)
        return
    place = outbox.place_of(message, source.place)
    picture = Found(source.file_id, source.file_unique_id, size=None)
    try:
        ((job, created),) = await captioning.accept(
            picture,
            user=user,
            place=place,
            # The picture's own message where it stands here too, else the one with the button.
            message_id=source.message_id if source.place == place else message.message_id,
            sender=source,
            language=words.language,
            kind="variant",
            options=variant_options(callback.id),
            question=(source.question or "") if source.user_id == user.id else "",
            source_caption_id=caption_id,
            # Who compares wants to hear again whose version this is.
            chosen=[Choice(row.model, compared_with=None if shown is None else shown.compared_with)],
        )
    except (QueueFull, DayFull) as full:
        await answer(callback, refusal(full, words), alert=True)
        return
    except NotStored:
        await answer(callback, words(sentences.CAPTION_GONE), alert=True)
        return
    nursery.start(answer(callback, words(sentences.VARIANT_STARTED)), name="answer to another version")
    if created:
        captioning.submit([job])


async def show(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    captioning: Captioning,
    nursery: Nursery,
    bot: Bot,
) -> None:
    """Send the caption or answer whose sending was cut short, in place of the note about that."""
    message = callback.message
    row, job_id = await store.captions.get(press.caption_id), press.shown.job_id
    if message is None or row is None:
        await answer(callback, words(sentences.CAPTION_GONE), alert=True)
        return
    nursery.start(answer(callback), name="answer to show")
    noted = await store.jobs.get(job_id) if job_id is not None else None
    if noted is not None and noted.reply_message_id not in (None, message.message_id):
        reply = await store.messages.find(MessageKey.of(message.chat.id, noted.reply_message_id))
        # A bot that was killed twice left two notes: either may be pressed.
        if reply is None or reply.kind != "note":
            return  # pressed twice: the description has taken the note's place
    source = noted or await store.jobs.of_caption(row.id, message.chat.id, message.message_id)
    place = outbox.place_of(message, source.place if source is not None else None)
    reply_to = source.message_id if source is not None and source.place == place else None
    turn = await store.turns.of_job(noted.id) if noted is not None and noted.kind == "question" else None
    language = words.language
    if turn is not None:
        shown = await captioning.show_answer(turn, place=place, reply_to=reply_to, language=language)
    else:
        shown = await captioning.show(
            row, source, user=user, place=place, reply_to=reply_to, language=language
        )
    with once_saved():
        if noted is not None:
            with suppress(NotStored):
                await store.jobs.answered(noted.id, shown.message_id)
        try:
            await outbox.delete(bot, place, message.message_id)
        except AiogramError:  # older than two days: it stays, without its button
            await edit(bot, place, message.message_id, words(sentences.INTERRUPTED), None)
