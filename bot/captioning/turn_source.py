"""Where the answer to a question comes from: from a model that talks, once."""

from __future__ import annotations

from bot.captioning.engine import PatientEngine
from bot.captioning.fetching import Fetcher
from bot.captioning.outcomes import Unanswerable
from bot.captioning.patience import Patience
from bot.feedback.captions import Captions
from bot.feedback.tables import Job, TurnRow
from bot.feedback.turns import Turns
from inference.common.types import Turn


class TurnSource:
    """Answers that were given before the bot was killed, or are given now and kept."""

    def __init__(
        self, turns: Turns, captions: Captions, engine: PatientEngine, fetcher: Fetcher, patience: Patience
    ) -> None:
        self._turns = turns
        self._captions = captions
        self._engine = engine
        self._fetcher = fetcher
        self._patience = patience

    async def turn_for(self, job: Job) -> TurnRow:
        """The answer to the job's question. Raises Unanswerable, FileAway, NotStored."""
        insist = self._patience.insist
        if (answered := await insist(job, self._turns.of_job, job.id)) is not None:
            return answered
        conversation = await self._conversation(job)
        async with self._fetcher.fetched(job) as data:
            answer = await self._engine.ask(
                data, job.question or "", conversation, job.decoding_options(), job.model
            )
        return await insist(job, self._turns.save, job.id, answer)

    async def _conversation(self, job: Job) -> list[Turn]:
        """What was said of the picture so far: the description, and what this person asked since."""
        insist = self._patience.insist
        number = job.about_caption_id
        row = None if number is None else await insist(job, self._captions.get, number)
        if row is None:
            raise Unanswerable("caption_gone", "its description was erased")
        before = await insist(job, self._turns.about, job.user_id, row.id)
        description = row.to_caption()
        return [
            Turn(description.options.question, description.text),
            *(Turn(turn.question, turn.answer) for turn in before),
        ]
