"""Every sentence that a person can read, in English: also the key of its translation in ``ru.po``."""

from __future__ import annotations

from typing import Final, NamedTuple


class Plural(NamedTuple):
    """A sentence that depends on the number {n}."""

    one: str
    many: str


# --- What the bot is ---
START: Final = (
    "Hello! I describe memes and other pictures in Russian, in detail, and read out the words on them.\n\n"
    "Send me a picture: a photo, a file, a sticker or a forwarded post.\n\n"
    "/help tells what else I can do."
)
HELP: Final = (
    "<b>How to use me</b>\n\n"
    "Send a picture: a photo, an image as a file (up to {megabytes} MB), a static sticker, an album or "
    "a forwarded post. I answer with a description, which has the words on the picture in their places; "
    "words that found no place in it follow.\n\n"
    "In a group, answer a picture with /caption or mention me under it.\n\n"
    "You can ask about a picture: answer its description with the question, or write it under the picture "
    "when you send it to me alone. Models that talk reply; the others only describe.\n\n"
    "<b>Buttons under a description</b>\n"
    "Marks from 1 to 5: how good the description is; you can change your mark.\n"
    "“Correct”: write a better description.\n"
    "“Another version”: describe the same picture once more, differently.\n"
    "“Copy the words” or “Send the words”: the words on the picture alone.\n"
    "“What is the joke?”: an explanation, where a model can give it.\n\n"
    "<b>Commands</b>\n"
    "/caption – describe the picture you answer\n"
    "/model – choose the model that describes your pictures\n"
    "/compare – get two or three descriptions of each picture, by different models\n"
    "/settings – how much I describe, and in which language\n"
    "/language – the language I speak with you\n"
    "/privacy – what I keep, and whether I may keep your pictures\n"
    "/forget – erase everything I keep about you\n"
    "/help – this message"
)
HELP_OPERATOR: Final = (
    "<b>For the operator</b>\n"
    "/stats – numbers, for each model\n"
    "/export – the marks and corrections as an archive\n"
    "/mute, /unmute – whom I do not answer"
)
CONSENT_QUESTION: Final = (
    "May I keep your pictures, to learn from them? Your descriptions do not depend on the answer. {state}\n\n"
    "/privacy tells what else I keep."
)
COMMAND_HELP: Final = "How to use me"
COMMAND_CAPTION: Final = "Describe the picture you answer"
COMMAND_MODEL: Final = "Choose the model that describes"
COMMAND_COMPARE: Final = "Descriptions by several models"
COMMAND_SETTINGS: Final = "How I describe your pictures"
COMMAND_LANGUAGE: Final = "The language I speak with you"
COMMAND_PRIVACY: Final = "What I keep about you"
COMMAND_FORGET: Final = "Erase everything I keep about you"

# --- What cannot be described ---
SEND_A_PICTURE: Final = (
    "I describe pictures. Send me a picture: a photo, an image file, a static sticker or a forwarded post."
)
UNKNOWN_COMMAND: Final = "I do not know this command. Send a picture to have it described, or /help."
ANSWER_A_PICTURE: Final = (
    "There is no picture to describe here. Answer a message that has a picture with /caption."
)
NOT_A_STATIC_STICKER: Final = (
    "I cannot describe moving stickers. Send a static sticker, or a screenshot of this one."
)
NOT_AN_ANIMATION: Final = (
    "I cannot describe animations (GIF). Send a screenshot of the frame you want described."
)
NOT_A_VIDEO: Final = "I cannot describe videos. Send a screenshot of the frame you want described."
NOT_A_VOICE: Final = "I cannot listen to recordings. Send a picture, and I will describe it."
NOT_AN_IMAGE_FILE: Final = (
    "This file is not a picture. Send a picture as a JPEG, PNG, WebP, GIF or HEIC file."
)
TOO_LARGE: Final = (
    "This file is too large: I can fetch at most {megabytes} MB. Send the picture as a photo, not as a file, "
    "or make it smaller."
)

# --- What went wrong with a picture ---
EMPTY: Final = "This file is empty. Send the picture once more."
NOT_A_PICTURE: Final = (
    "There is no picture inside this file, whatever its name says. Send a JPEG, PNG, WebP, GIF or HEIC file."
)
TRUNCATED: Final = (
    "This picture is damaged or did not arrive whole. Send it once more, or send a screenshot of it."
)
TOO_MANY_PIXELS: Final = (
    "This picture has too many pixels for me. Send it as a photo, not as a file, or make it smaller."
)
TOO_COSTLY: Final = (
    "Opening this picture takes too much time or memory. Send it as a photo, not as a file, or send a "
    "screenshot of it."
)
UNSUPPORTED: Final = "I cannot open pictures of this format. Send it as a photo, or as a JPEG or PNG file."
CANNOT_FETCH: Final = "I could not fetch this picture from Telegram. Send it once more in a minute."
BUSY: Final = "Too many pictures are waiting right now. Send this one again in a few minutes."
TIMEOUT: Final = (
    "Describing this picture took too long, and I stopped. Send it as a smaller picture, or a part of it."
)
CRASHED: Final = (
    "I could not describe this picture, although I tried twice. Send it as a photo, or send a "
    "screenshot of it."
)
OUT_OF_ORDER: Final = (
    "I cannot describe pictures right now: something is broken on my side. Send this picture again later."
)
MODEL_BROKEN: Final = (
    "The model {model} does not work right now. Choose another one with /model, and send this picture again."
)
COMPARED_MODEL_GONE: Final = (
    "There is no model {model} any more, so this time there is one description less. "
    "Choose other models with /compare."
)
LATER: Final = "My memory does not work just now. I will do this as soon as it does: you need not ask again."
SOMETHING_BROKE: Final = "Something broke on my side. Please try again in a minute."
INTERRUPTED: Final = (
    "I cannot tell whether my answer has arrived. If you do not see it above, press the button."
)
TOPIC_GONE: Final = (
    "The topic in which you asked me about a picture is closed or deleted. "
    "So that the answer is not lost, here it is."
)
SHOW_AGAIN: Final = "Show the description"
SHOW_ANSWER: Final = "Show the answer"

# --- Questions ---
WHERE_IS_THE_JOKE: Final = "What is the joke?"
JOKE_STARTED: Final = "I am thinking about the joke"
NOBODY_TALKS: Final = "The models here only describe pictures: none of them answers questions."
CANNOT_TALK: Final = (
    "The model {model} only describes. Questions are answered by: {talkers}. Choose one with /model, and ask "
    "again."
)
QUESTION_TOO_LONG: Final = Plural(
    "A question may have {n} character at most. Ask a shorter one.",
    "A question may have {n} characters at most. Ask a shorter one.",
)
ASKED_ENOUGH: Final = Plural(
    "I answer {n} question about a picture and no more. Send another picture.",
    "I answer {n} questions about a picture and no more. Send another picture.",
)
QUESTION_BUSY: Final = "Too many pictures are waiting right now. Ask again in a few minutes."
NO_ANSWER: Final = (
    "The model {model} could not answer. Ask again in a minute, or choose another model with /model."
)

# --- Waiting ---
QUESTION_QUEUE_PLACE: Final = Plural(
    "Your question is in the queue: {n} picture is ahead of it. I will answer as soon as I can.",
    "Your question is in the queue: {n} pictures are ahead of it. I will answer as soon as I can.",
)
QUEUE_PLACE: Final = Plural(
    "Your picture is in the queue: {n} picture is ahead of it. I will answer as soon as it is described.",
    "Your picture is in the queue: {n} pictures are ahead of it. I will answer as soon as it is described.",
)
USER_QUEUE_FULL: Final = Plural(
    "I am still working on {n} picture of yours. Send the rest when it is answered.",
    "I am still working on {n} pictures of yours. Send the rest when they are answered.",
)
DAY_FULL_PERSON: Final = Plural(
    "I describe {n} picture a day for one person, questions counted, and that was it. Go on in {time}.",
    "I describe {n} pictures a day for one person, questions counted, and that was it. Go on in {time}.",
)
DAY_FULL_GROUP: Final = Plural(
    "I describe {n} picture a day for one group, questions counted, and that was it. Go on in {time}.",
    "I describe {n} pictures a day for one group, questions counted, and that was it. Go on in {time}.",
)
DAY_FULL_EVERYBODY: Final = Plural(
    "I describe {n} picture a day in all, questions counted, and that was it. Go on in {time}.",
    "I describe {n} pictures a day in all, questions counted, and that was it. Go on in {time}.",
)
TAKES_ABOUT: Final = "That takes about {time}."
MINUTES: Final = Plural("{n} minute", "{n} minutes")
HOURS: Final = Plural("{n} hour", "{n} hours")
TOO_FAST: Final = "That is too many messages at once for me. Wait a few seconds and go on."

TAKES_LONGER: Final = (
    "Telegram does not give me your picture just now. I keep trying and will answer as soon as I have it: "
    "you need not send it again."
)

# --- The reply ---
MODEL_GONE: Final = (
    "There is no model {model} any more, so the usual one described this picture. /model shows the others."
)
PART_BY: Final = "Description {part} of {parts}. Model: {model}."
VARIANT_BY: Final = "Another version. Model: {model}."
DOUBT: Final = "Not sure: this description may be wrong."
WORDS_ON_PICTURE: Final = "Words on the picture:"
OTHER_WORDS: Final = "Also written on the picture:"
NO_WORDS: Final = "No words were found on the picture."
NOTE_FIRST_FRAME: Final = "This is an animation: only its first frame is described."
NOTE_FIRST_PAGE: Final = "There are several pages in this file: only the first one is described."
NOTE_PARTIAL: Final = (
    "This picture did not arrive whole: only what arrived is described. Send it once more for all of it."
)
NOTE_NO_READING: Final = (
    "Reading words is switched off on this bot, so the words on the picture are not given."
)
WORDS_UNREADABLE: Final = "There are words on the picture, but they could not be read."
NOTE_UNREADABLE: Final = "Some of the words on the picture could not be read."
NOTE_UPSIDE_DOWN: Final = "The picture is upside down: it is described the right way up."
NOTE_OWN_READING: Final = (
    "Some of the quoted words the model read by itself: the reading program did not find them."
)
NOTE_OTHER_LANGUAGE: Final = "The model answered in another language."
YOUR_MARK: Final = "Your mark: {mark} out of 5 – {meaning}"
MEAN_MARK: Final = Plural(
    "Marks: {mean} out of 5 on average, {n} person", "Marks: {mean} out of 5 on average, {n} people"
)
MARK_1: Final = "bad"
MARK_2: Final = "weak"
MARK_3: Final = "fair"
MARK_4: Final = "good"
MARK_5: Final = "excellent"
MARKS: Final = (MARK_1, MARK_2, MARK_3, MARK_4, MARK_5)
CORRECT: Final = "Correct"
ANOTHER: Final = "Another version"
COPY_WORDS: Final = "Copy the words"
SEND_WORDS: Final = "Send the words"

# --- Buttons ---
MARK_TAKEN: Final = "Your mark: {mark} out of 5"
VARIANT_STARTED: Final = "I am writing another version"
VARIANT_NO_PICTURE: Final = (
    "I cannot find this picture any more. Send it once more, and I will describe it anew."
)
CAPTION_GONE: Final = "This description was erased. Send the picture once more."
BUTTON_UNKNOWN: Final = (
    "This button does not work here. Send the picture once more, or the command that showed the button."
)

# --- Corrections ---
PROMPT: Final = "Write how this picture should be described, as a reply to this message."
PROMPT_FOR: Final = "{name}, write how this picture should be described, as a reply to this message."
PROMPT_PLACEHOLDER: Final = "Your description"
CORRECTION_TAKEN: Final = (
    "Thank you, your description is saved. To change it, edit your message or write another reply."
)
CORRECTION_CHANGED: Final = "Your description is changed."
CORRECTION_NOT_TEXT: Final = "I take corrections as text only. Answer my request with a text message."

# --- Choosing ---
MODEL_PAGE: Final = (
    "<b>The model that describes your pictures</b>\n\n{state}\n\n"
    "Choose with a button, or write the name after /model. There are:\n{models}"
)
MODEL_STATE_USUAL: Final = "Now: the usual one, {model}."
MODEL_STATE_OWN: Final = "Now: {model}, your choice."
MODEL_STATE_GONE: Final = "You chose {model}, but it is not here any more: the usual one describes instead."
MODEL_USUAL: Final = "The usual model"
MODEL_TURN: Final = "Choose the model"
MODEL_UNKNOWN: Final = "There is no model {model}. /model lists those there are."
MODEL_MISSING: Final = (
    "The model {model} is known, but not here: the bot's operator gets it with the command "
    "<code>{command}</code>."
)
MODEL_SCORES: Final = "On test: {scores}."
SCORE_WORDS: Final = "{share} % of the words quoted"
SCORE_THINGS: Final = "{share} % of what is named is right"
MISSING_PAGE: Final = (
    "<b>Models that are not here</b>\n\n"
    "Beside each is the command that makes or fetches it, given in the program's folder; what it lacks it "
    "says itself. Only operators see this page.\n\n{models}"
)
MISSING_TURN: Final = "Models that are not here"
MODEL_NOT_LISTED: Final = "This model is not here any more. Send /model for those there are."
COMPARE_PAGE: Final = "<b>Comparing models</b>\n\n{state}\n\n{advice}"
COMPARE_STATE_TWO: Final = "Now: two descriptions of each picture, by {first} and by {second}."
COMPARE_STATE_THREE: Final = (
    "Now: three descriptions of each picture, by {first}, by {second} and by {third}."
)
COMPARE_STATE_OFF: Final = "Now: one description of each picture, by {first}."
COMPARE_CHOOSE: Final = (
    "Choose with the buttons which models describe your pictures too, two at most. One more press leaves a "
    "model out again. To compare descriptions of a single picture, answer it with /compare."
)
COMPARE_ALONE: Final = "There is only one model here, so there is nothing to compare it with."
COMPARE_FULL: Final = "A picture gets three descriptions at most: leave one model out first."
COMPARE_OFF: Final = "One description"
COMPARE_WITH: Final = "Compare with {model}"
COMPARE_TURN: Final = "Compare models"
LANGUAGE_PAGE: Final = "I speak English with you. /settings has the language of the descriptions."
SETTINGS_PAGE: Final = "<b>How I describe your pictures</b>\n\n{state}"
SETTINGS_STATE: Final = "Now: {chosen}."
SHORT: Final = "Short"
USUAL: Final = "Usual"
DETAILED: Final = "Detailed"
WORDS_IN_PLACE: Final = "Words in the description"
WORDS_APART: Final = "Words separately"
IN_RUSSIAN: Final = "In Russian"
IN_ENGLISH: Final = "In English"
IN_UKRAINIAN: Final = "In Ukrainian"
CHOSEN: Final = "{choice} (chosen)"
ONLY_RUSSIAN: Final = "The model {model} describes in Russian only."

# --- Privacy ---
PRIVACY: Final = (
    "<b>What I keep</b>\n\n"
    "Your Telegram id, user name and language, the model you chose, and how it is to describe. For each "
    "picture: where it was sent, its fingerprint and size, my descriptions of it, your questions and my "
    "answers, your marks and corrections. They serve to make the descriptions better.\n\n"
    "The pictures themselves are kept only if you allow it: then they may be used for training. "
    "In a group a picture is its sender's, whoever asks about it.\n\n"
    "{state}\n\n"
    "/forget erases everything; it asks once."
)
PICTURES_GO: Final = Plural(
    "Kept pictures are deleted after {n} day.", "Kept pictures are deleted after {n} days."
)
TEXTS_GO: Final = Plural(
    "My descriptions and answers, your marks and corrections are deleted after {n} day.",
    "My descriptions and answers, your marks and corrections are deleted after {n} days.",
)
SENT_ELSEWHERE: Final = "To be described, your pictures are sent to another machine: {hosts}."
CONSENT_ON: Final = "Now: you allow me to keep your pictures."
CONSENT_OFF: Final = "Now: your pictures are not kept."
ALLOW: Final = "Allow keeping my pictures"
DISALLOW: Final = "Do not keep my pictures"
ANONYMOUS: Final = (
    "You write in the name of a chat, so I cannot tell who you are. Write to me in private, or write here "
    "under your own name: administrators turn anonymity off for that."
)
FORGET_QUESTION: Final = (
    "Shall I erase everything I keep about you: pictures, descriptions, questions, marks, corrections and "
    "settings? It cannot be undone."
)
FORGET_YES: Final = "Erase everything"
FORGET_NO: Final = "Erase nothing"
NOT_FORGOTTEN: Final = "Nothing is erased. /forget asks again."
FORGET_TOO_OLD: Final = "I asked this long ago, so nothing is erased. /forget asks again."
FORGOTTEN: Final = (
    "Done: everything I kept about you is erased (pictures: {pictures}, marks: {ratings}, "
    "corrections: {corrections}, answers to questions: {turns}). Send a picture whenever you like: we start "
    "anew."
)

# --- For the operator ---
EXPORT_STARTED: Final = "I am collecting the feedback. The archive will follow here."
EXPORT_EMPTY: Final = (
    "There is no feedback to export yet: nobody has rated or corrected a description that matches."
)
EXPORT_DONE: Final = "Rows: {rows}; answered questions: {turns}."
EXPORT_WITHOUT: Final = (
    "Of them without a picture: {without}, because its sender has not let it be kept. "
    "People change that with /privacy."
)
EXPORT_USAGE: Final = (
    "I did not understand this. Write /export, and after it, if you like, a format "
    "(imagefolder, csv or parquet), a date (2025-01-31) and the lowest mark (1 to 5)."
)
EXPORT_FAILED: Final = "The export failed. The reason is in the bot's log; try again when it is mended."
EXPORT_BUSY: Final = "An archive is under way already: wait for it before you ask for another."
OPERATOR_PRIVATELY: Final = "Answered in your private chat with me."
OPERATOR_START: Final = (
    "This is for your private chat only, and I cannot write to you there: open @{bot}, press “Start”, "
    "then send the command again."
)
MUTED: Final = "{id} is muted: no answers any more, but for /privacy and /forget. /unmute {id} takes it back."
UNMUTED: Final = "{id} is answered again."
NOT_MUTED: Final = "{id} was not muted. /mute alone lists who is."
MUTED_ARE: Final = "Muted: {ids}."
MUTED_NONE: Final = "Nobody is muted."
MUTE_USAGE: Final = "Write the Telegram id of a person or a group behind the command: /mute 12345678."
STATS_TITLE: Final = "<b>Statistics</b>"
STATS_PEOPLE: Final = "People: {people} (active: {active}, let pictures be kept: {consenting})"
STATS_PICTURES: Final = "Pictures: {pictures} (kept: {kept})"
STATS_JOBS: Final = "Requests: {answered} answered, {failed} refused or failed, {open} not finished"
STATS_LOST_ANSWERS: Final = "Replies of which Telegram did not say whether they arrived: {number}"
STATS_MODEL: Final = (
    "{model}, checkpoint {checkpoint}\n"
    "Captions: {captions}; corrections: {corrections}; other versions asked for: {variants}"
)
STATS_MARKS: Final = (
    "Marks: {marks}, by people: {raters}; mean {mean} out of 5 (95 %: from {low} to {high}); by mark: {each}"
)
STATS_UNRATED: Final = "Marks: none"
