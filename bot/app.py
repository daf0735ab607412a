"""The composition root: the one place where the parts are built, joined, started and drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import AiogramError
from aiogram.types import LinkPreviewOptions, Update

from bot.captioning import Captioning
from bot.captioning.answering import Answering
from bot.captioning.caption_source import CaptionSource
from bot.captioning.delivery import Delivery
from bot.captioning.engine import PatientEngine
from bot.captioning.fetching import Fetcher
from bot.captioning.models import AnyEngine, Catalogue, check_models
from bot.captioning.notices import LateNotice, Notices, QueueNotice, TroubleNotice
from bot.captioning.patience import Patience
from bot.captioning.queue import Queue
from bot.captioning.turn_source import TurnSource
from bot.captioning.typing_notice import TypingNotice
from bot.captioning.watcher import Watcher
from bot.common.nursery import Nursery
from bot.config import OperatorError, Settings
from bot.feedback.database import StoreError
from bot.feedback.retention import Keep
from bot.feedback.store import Store
from bot.feedback.waiting import once_stored
from bot.handlers import routers
from bot.handlers.album import Albums
from bot.handlers.errors import tell_later
from bot.handlers.menu import describe_commands
from bot.handlers.models import ModelOffer
from bot.messages.pace import Pacer
from bot.middlewares.buttons import ButtonsIn, ButtonsOut, Gate
from bot.middlewares.muted import MutedMiddleware
from bot.middlewares.requests import MetricsMiddleware, MigrationMiddleware, PaceMiddleware, RetryMiddleware
from bot.middlewares.throttle import ThrottleMiddleware
from bot.middlewares.updates import UpdatesMiddleware
from bot.middlewares.user import UserMiddleware
from bot.operating.error_reports import ErrorReports
from bot.operating.metrics import Metrics
from bot.operating.page.door import Door
from bot.operating.probes import Pulse, probes
from bot.transport.intake import Intake
from bot.transport.polling import Poller
from bot.transport.webhook import LEASE, Webhook
from bot.transport.wire import Session
from bot.transport.written import WrittenUpdates
from inference.common.logs import Redactor
from inference.serving.engine import Engine
from inference.serving.metrics import EngineMetrics

logger = logging.getLogger(__name__)

SWEEP_PERIOD = 3600.0  # seconds between looks at what is too old
OUTAGE_PERIOD = 5.0  # seconds between looks at whether a database that was away is back
KEPT_LOOKS = 60  # of these until what is kept is summed up again
ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")


class WebhookRefused(OperatorError):  # noqa: N818 - says what happened
    """Telegram does not take the address."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Telegram refuses the webhook ({reason}): correct WEBHOOK_URL.")


def build_captioning(
    settings: Settings,
    store: Store,
    engine: AnyEngine,
    bot: Bot,
    *,
    catalogue: Catalogue,
    gate: Gate,
    patience: Patience,
    pacer: Pacer,
    watcher: Watcher,
) -> Captioning:
    """The parts of the way from a picture to its answer, joined."""
    nursery = Nursery()
    queue = Queue(
        at_once=settings.queue_size,
        per_person=settings.per_user_limit,
        waiting_per_person=settings.per_user_queue,
    )
    notices = Notices(
        typing=TypingNotice(bot, queue, nursery),
        queue=QueueNotice(bot, store.jobs, queue, nursery, many=settings.queue_notice),
        late=LateNotice(bot),
    )
    fetcher = Fetcher(bot, memory=settings.picture_memory_bytes, max_file_bytes=settings.max_file_bytes)
    patient = PatientEngine(engine, catalogue, default=settings.model)
    delivery = Delivery(
        bot, store.jobs, store.people, gate=gate, patience=patience, pacer=pacer, watcher=watcher
    )
    answering = Answering(
        store.jobs,
        store.people,
        queue=queue,
        captions=CaptionSource(store.captions, store.pictures, patient, fetcher, patience),
        turns=TurnSource(store.turns, store.captions, patient, fetcher, patience),
        catalogue=catalogue,
        delivery=delivery,
        notices=notices,
        patience=patience,
        watcher=watcher,
        max_file_mb=settings.max_file_mb,
    )
    return Captioning(
        jobs=store.jobs,
        pseudonyms=store.pseudonyms,
        queue=queue,
        answering=answering,
        delivery=delivery,
        catalogue=catalogue,
        nursery=nursery,
        settings=settings,
    )


class App:
    """All parts of one running bot. Made by :func:`build`."""

    def __init__(
        self, settings: Settings, store: Store, engine: AnyEngine, bot: Bot, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.store = store
        self.engine = engine
        self.bot = bot
        self.metrics = metrics
        self.nursery = Nursery()
        self._webhook_set = False
        self._stopping = False
        migration, gate = MigrationMiddleware(), Gate(store)
        pacer = Pacer(bots=settings.bot_replicas, waited=metrics.paced)
        # The last one is next to the network.
        for middleware in (
            migration,
            ButtonsOut(gate),
            RetryMiddleware(metrics.repeating),
            PaceMiddleware(pacer),
            MetricsMiddleware(metrics.requested),
        ):
            bot.session.middleware(middleware)
        self.trouble = TroubleNotice(bot, store)
        catalogue = Catalogue(engine, settings)
        self.captioning = build_captioning(
            settings,
            store,
            engine,
            bot,
            catalogue=catalogue,
            gate=gate,
            patience=Patience(self.trouble),
            pacer=pacer,
            watcher=metrics,
        )
        self.dispatcher = Dispatcher(
            disable_fsm=True,  # what is under way is in the store
            settings=settings,
            store=store,
            captioning=self.captioning,
            nursery=self.nursery,
            migration=migration,
            gate=gate,
            pacer=pacer,
            albums=Albums(self.captioning, self.nursery),
            catalogue=catalogue,
            offers=ModelOffer(engine, catalogue, store, settings),
            marked=metrics.marked,
        )
        self.dispatcher.update.outer_middleware(UpdatesMiddleware(ALLOWED_UPDATES, metrics.update_handled))
        people, muted = UserMiddleware(store, settings.language), MutedMiddleware(store)
        for observer in (self.dispatcher.message, self.dispatcher.edited_message):
            observer.middleware(muted)
            observer.middleware(ThrottleMiddleware(settings.language, pacer))
            observer.middleware(people)
        # Outer ones: a press that is too fast or does not count reaches no router, whatever is registered
        # there, and nobody is written down for it.
        self.dispatcher.callback_query.outer_middleware(ThrottleMiddleware(settings.language, pacer))
        self.dispatcher.callback_query.outer_middleware(ButtonsIn(gate, settings.language))
        self.dispatcher.callback_query.middleware(muted)
        self.dispatcher.callback_query.middleware(people)
        self.dispatcher.include_routers(*routers())
        self.intake = Intake(self._handle)
        self.written = WrittenUpdates(bot, store.updates, self.intake)
        self.poller = Poller(bot, self.intake, self.written, allowed_updates=ALLOWED_UPDATES)
        metrics.ask(
            unfinished=lambda: self.captioning.unfinished,
            receiving=lambda: self._receiving,
            engine=lambda: engine.healthy,
            database=lambda: store.outage is None,
            data_dir=settings.data_dir,
        )
        if isinstance(engine, Engine):  # one on another machine is scraped there
            EngineMetrics(engine, metrics.registry)

    async def _handle(self, update: Update) -> None:
        """Handle an update; again, while the database is away: until then it is not done."""
        tell = partial(tell_later, update, self.trouble, self.settings.language)
        try:
            await once_stored(
                partial(self.dispatcher.feed_update, self.bot, update),
                tell,
                told_after=0.0 if update.callback_query else None,  # which expires
            )
        except Exception:  # the errors router failed too: polling must survive
            logger.exception("Update %d failed", update.update_id)

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether pictures can be described now, and the details of it."""
        outage = self.store.outage
        return self._receiving and self.engine.healthy and outage is None, {
            "database": outage is None,
            "database_trouble": None if outage is None else outage.reason,
            "polling": self._receiving,
            "trouble": self.poller.trouble,
            "engine": self.engine.healthy,
            "unfinished_pictures": self.captioning.unfinished,
        }

    @property
    def _receiving(self) -> bool:
        if self._stopping:
            return False
        return self._webhook_set if self.settings.webhook_url is not None else self.poller.healthy

    async def serve(self, stop: asyncio.Event, *, delete_webhook: bool = False) -> None:
        """Work until ``stop`` is set, then drain. Raises TokenRefused."""
        watching = self.nursery.start(self._look_after(), name="looking after the database")
        sweeping = self.nursery.start(self._sweep(), name="deleting what is too old")
        working = self.nursery.start(self._work(delete_webhook), name="polling", watched=True)
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._stopping = True
        watching.cancel()
        sweeping.cancel()
        if working.done():
            working.result()  # raises what ended it
        working.cancel()
        await asyncio.wait({working})
        await self._drain()

    async def _look_after(self) -> None:
        """Find out when the database is back, also when nobody needs it, and what is kept. For ever."""
        for look in count():
            if look % KEPT_LOOKS == 0:
                with suppress(StoreError):
                    self.metrics.pictures_kept(*await self.store.reports.kept())
            await asyncio.sleep(OUTAGE_PERIOD)
            if self.store.outage is not None:
                with suppress(StoreError):
                    await self.store.try_again()
                    logger.warning("The database can be used again.")

    async def _sweep(self) -> None:
        """Delete what is kept for longer than it is to be, and put together what was counted. For ever."""
        keep = Keep(self.settings.keep_pictures_days, self.settings.keep_texts_days)
        while True:
            with suppress(StoreError):  # it is logged where it is met, and there is another time
                if removed := await self.store.retention.sweep(keep):
                    logger.info("%d rows and pictures were too old, and are deleted", removed)
                await self.store.tallies.fold()
            await asyncio.sleep(SWEEP_PERIOD)

    async def _work(self, delete_webhook: bool) -> None:
        url, secret = self.settings.webhook_url, self.settings.webhook_secret
        if url is None and (resumed := await self.captioning.resume()):
            logger.info("%d pictures of the last run are taken up again", resumed)
        me = await self.poller.connect()
        logger.info("Working as @%s", me.username)
        if url is not None and secret is not None:
            await self._receive(url, secret.get_secret_value())
            return
        if delete_webhook or self.settings.drop_pending_updates:
            await self._delete_webhook()
        self.nursery.start(describe_commands(self.bot), name="setting the commands")
        await self.poller.run()

    async def _receive(self, url: str, secret: str) -> None:
        """Take updates by webhook, for ever. Raises OSError (the port is taken), WebhookRefused."""
        webhook = Webhook(
            self.written,
            self.intake.handlers,
            secret=secret,
            # Another bot of this database may be at work on what is not finished: see bot.transport.webhook.
            take_over=partial(self.captioning.resume, silent_for=LEASE),
            lease=LEASE,
        )
        async with webhook.serving(url, self.settings.webhook_host, self.settings.webhook_port):
            try:
                await self.bot.set_webhook(
                    url,
                    secret_token=secret,
                    allowed_updates=list(ALLOWED_UPDATES),
                    drop_pending_updates=self.settings.drop_pending_updates,
                )
            except AiogramError as error:
                raise WebhookRefused(str(error)) from error
            self._webhook_set = True
            logger.info("Updates come by webhook.")
            self.nursery.start(describe_commands(self.bot), name="setting the commands")
            await webhook.watch()

    async def _drain(self) -> None:
        """Finish what is in flight within DRAIN_SECONDS; what is left is resumed by the next start."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.drain_seconds
        cut = await self.intake.handlers.drain(max(0.0, deadline - loop.time()))
        await self.nursery.drain(max(0.0, deadline - loop.time()))
        await self.captioning.drain(max(0.0, deadline - loop.time()))
        if not cut and self.settings.webhook_url is None:  # an update whose handler was cut off comes again
            await self.poller.confirm()

    async def _delete_webhook(self) -> None:
        try:
            await self.bot.delete_webhook(drop_pending_updates=self.settings.drop_pending_updates)
        except AiogramError as error:
            logger.warning("The webhook could not be deleted: %s", error)


@asynccontextmanager
async def build(settings: Settings, engine: AnyEngine, *, token: str, api_url: str) -> AsyncIterator[App]:
    """Open the store and join everything to a started engine; closes what it opened at the end.

    Raises StoreError or OSError (the health port is taken); their texts say what to do.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        opening = Store.open(settings.database_url, settings.data_dir, metrics)
        store = await stack.enter_async_context(await opening)
        # By long polling, what is not finished is taken up as a dead bot's: a living one's would be answered
        # twice.
        await stack.enter_async_context(store.locks.bot(alone=settings.webhook_url is None))
        await store.locks.clear_export()
        server = TelegramAPIServer.from_base(api_url, is_local=settings.bot_api_local)
        bot = Bot(
            token,
            session=Session(api=server, timeout=30),
            default=DefaultBotProperties(
                # Words on a meme may look like an address: no preview of it.
                parse_mode="HTML",
                link_preview=LinkPreviewOptions(is_disabled=True),
            ),
        )
        stack.push_async_callback(bot.session.close)
        app = App(settings, store, engine, bot, metrics)
        if settings.health_port:
            pulse = Pulse(app.readiness, metrics.loop_was_late)
            await stack.enter_async_context(
                probes(settings.health_host, settings.health_port, pulse, metrics.registry)
            )
        if settings.operator_password is not None:
            from bot.operating.page.server import serve_page  # noqa: PLC0415 - templates take time to import

            door = Door(settings.operator_password.get_secret_value())
            address = settings.operator_host, settings.operator_port
            await stack.enter_async_context(serve_page(store, app.readiness, door, *address))
        yield app


async def run(
    settings: Settings, engine: AnyEngine, redact: Redactor, *, delete_webhook: bool = False
) -> None:
    """Run the bot until SIGTERM or SIGINT; without a token against the stand-in, in this process.

    Raises OperatorError (TokenRefused, WebhookRefused...), EngineError, StoreError or OSError; texts for
    the operator.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, _stop, stop, number)
    async with AsyncExitStack() as stack:
        if settings.sentry_dsn is not None:
            stack.callback(ErrorReports.start(settings.sentry_dsn.get_secret_value()).stop)
        await check_models(settings, engine)
        if isinstance(engine, Engine):
            await engine.check_loader()
        if settings.bot_token is not None:
            token, api_url = settings.bot_token.get_secret_value(), settings.bot_api_url
        else:
            from bot.sandbox import ME, Sandbox  # noqa: PLC0415 - not needed with a real token

            sandbox = Sandbox(settings.sandbox_host, settings.sandbox_port)
            stack.push_async_callback(sandbox.stop)
            await sandbox.start()
            token, api_url = sandbox.token, sandbox.url
            # Whoever sits at the page started the bot: the operator's commands are theirs.
            settings = settings.model_copy(update={"admin_ids": settings.admin_ids | {ME}})
            logger.info("BOT_TOKEN is not set: the bot runs against its own stand-in of Telegram.")
            logger.info("Open %s in a browser and send it a picture.", sandbox.url)
        redact.add(token)
        app = await stack.enter_async_context(build(settings, engine, token=token, api_url=api_url))
        # What is there now stays: the collector need not look at it again, which held all chats for a fifth
        # of a second each time.
        gc.collect()
        gc.freeze()
        # Nor at all that is new since, after every few pictures. At what outlived a look it looks again in
        # portions: at all of 2,000 pictures that wait, it held everybody for 130 ms.
        gc.set_threshold(10_000, 5, 400)
        await app.serve(stop, delete_webhook=delete_webhook)
        logger.info("Stopped.")


def _stop(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        # Asked twice: now. Accepted pictures are in the database, the next start finishes them.
        raise SystemExit(128 + number)
    logger.info("%s: finishing what is in work", number.name)
    stop.set()
