"""The composition root: builds every part from a ``Config``, starts them, reloads, and stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
from tornado import httpserver, web
from tornado.ioloop import PeriodicCallback

from qflowd import __version__, logs
from qflowd.alerts.writing import written
from qflowd.config import ConfigError, Loaded, diff_restart
from qflowd.daemon import control, explain, figures, listen
from qflowd.daemon.access import Access
from qflowd.daemon.alerting import Alerting
from qflowd.daemon.difference import difference
from qflowd.daemon.door import Door
from qflowd.daemon.ingest import Ingest
from qflowd.daemon.lag import LagMeter
from qflowd.daemon.notifying import Notifying, build
from qflowd.daemon.restore import restore
from qflowd.daemon.tokens import TokenBook
from qflowd.daemon.views import Views
from qflowd.handlers.context import Context
from qflowd.handlers.routes import application
from qflowd.hub import Hub, HubSettings, SocketHandler
from qflowd.model import Change, ExecutionChanged, Logged, ValidationRun
from qflowd.reading import read_config
from qflowd.sdnotify import Notifier
from qflowd.security.roles import allows
from qflowd.series.recorder import Recorder
from qflowd.series.store import SeriesStore
from qflowd.sources.host import HostSampler
from qflowd.state import State
from qflowd.storage import Batch, ExecutionRow, SeriesPoints, Storage, StorageError

log = logging.getLogger("qflowd.daemon")

SLICE = 100
"""Records encoded before others get their turn."""

HANDSHAKE = 10.0
"""Seconds that the opening handshake of a WebSocket may take."""

GRACE = 4.0
"""Seconds that a stop may take before it goes on without the rest."""


def epoch_ms() -> int:
    """Now in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Daemon:
    """Everything that runs; one object a process."""

    def __init__(self, loaded: Loaded, path: Path, overrides: Sequence[str]) -> None:
        self.loaded, self.path, self.overrides = loaded, path, overrides
        self.begun = config = loaded.config
        self.clock = epoch_ms
        self.started = self.clock()
        self.process = psutil.Process()
        limits = config.limits
        self.storage = Storage(config.storage.path, queue_limit=limits.max_queued_events, clock=self.clock)
        self.state = State(tail=limits.max_executions, stale_after=limits.stale_after)
        self.series = SeriesStore(limit=limits.max_series)
        self.recorder = Recorder()
        self.notifying = Notifying(storage=self.storage, clock=self.clock, show=lambda line: self.views.log(line))
        self.alerting = Alerting(
            storage=self.storage,
            series=self.series,
            clock=self.clock,
            interval=lambda: self.loaded.config.alerts.evaluation_interval,
            file_rules=lambda: self.loaded.rules,
            save=self.save,
            notifying=self.notifying,
            tell=lambda transition: self.views.tell(transition),
            background=self.background,
        )
        self.counters: Counter[str] = Counter()
        self.storage_errors = 0
        self.reload_ok, self.reload_time, self.reload_error = True, self.started, ""
        self.storage_problem = ""
        self.last_sample: int | None = None
        self.ingest = Ingest(self.storage, self.state, self.listen, self.clock)
        self.views = Views(self)
        self.hub = Hub(
            settings=self.hub_settings(),
            clock=self.clock,
            epoch=f"{self.started:x}",
            sources=self.views.streams(),
            dashboard=self.views.welcome,
            version=__version__,
            authenticate=None if config.auth.mode == "none" else lambda token: self.tokens.verify(token),
            anonymous_roles=("admin", "source"),
            admits=lambda roles: any(allows(roles, needed) for needed in ("viewer", "engine")),
        )
        self.host = HostSampler()
        self.notifier = Notifier.from_environment()
        self.lag = LagMeter()
        self.tokens = TokenBook(self.storage, config.storage.path, self.clock)
        self.listeners: dict[str, listen.Listener] = {}
        self.access = Access(lambda: self.loaded.config, self.listeners, self.tokens)
        self.servers: list[httpserver.HTTPServer] = []
        self.doors: list[Door] = []
        self.callbacks: list[PeriodicCallback] = []
        self.listening = False
        self.stopped = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._saving = asyncio.Lock()
        self._reloading = asyncio.Lock()
        self._counted = b""
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- start ---------------------------------------------------------------------------------------------------

    async def start(self) -> dict[str, str]:
        """Open the journal, restore, listen; the addresses. Raises ``StorageError`` or ``ListenError``."""
        config = self.loaded.config
        self.listeners["http"] = listen.bind(config.server.address, config.server.port, "server.port")
        self.listeners["websocket"] = listen.bind(config.websocket.address, config.websocket.port, "websocket.port")
        channels = build(self.loaded)
        self.storage.open()
        await restore(self)
        await self.notifying.restore(channels)
        app = application(self.context(), [(r"/ws", SocketHandler, self.socket_arguments())])
        seed = web.Application([(r"/", SocketHandler, self.socket_arguments())], log_function=lambda handler: None)
        # Only handshakes come in at the second: nobody waits there with an open connection for the next request.
        for listener, served, idle in ((self.listeners["http"], app, 300), (self.listeners["websocket"], seed, HANDSHAKE)):
            server = httpserver.HTTPServer(served, max_body_size=8 << 20, max_buffer_size=16 << 20, idle_connection_timeout=idle)
            self.doors.append(Door(server, listener.sockets))
            self.servers.append(server)
        calls: dict[str, control.Call] = {"reload": self.control_reload, "compare": self.compare, "rules": self.export_rules}
        calls |= {**explain.calls(self.alerting), **self.tokens.calls()}
        self.servers.append(control.serve(config.storage.path / "control.sock", calls))
        self.listening = True
        self.lag.start()
        self.every(config.sampling.interval, self.sample)
        self.alerting.drive(self.every(self.alerting.tick(), self.evaluate))
        self.every(1000, self.publish)
        self.every(10_000, self.housekeep)
        self.every(60_000, self.retain)
        if self.notifier.watchdog_usec is not None:
            self.every(max(100, self.notifier.watchdog_usec // 2000), self.notifier.watchdog)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop_soon, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.background(self.reload()))
        addresses = {name: str(listener) for name, listener in self.listeners.items()}
        # A full collection walks every object that is held, some 80 ms at 2,000 executions: what the start has made leaves
        # its sight, and the oldest generation is looked through seldom. Cycles that live that long are few here.
        gc.collect()
        gc.freeze()
        gc.set_threshold(2_000, 10, 1_000)
        await asyncio.sleep(0)
        self.notifier.ready()
        log.info("qflowd %s: dashboard http://%s/dashboard, WebSocket ws://%s/", __version__, addresses["http"], addresses["websocket"])
        return addresses

    def every(self, interval: int, call: Any) -> PeriodicCallback:
        """Call ``call`` each ``interval`` ms from now on."""
        callback = PeriodicCallback(call, interval)
        callback.start()
        self.callbacks.append(callback)
        return callback

    def background(self, work: Any) -> None:
        """Run a coroutine beside; what it raises is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(finished: asyncio.Task[Any]) -> None:
            self._tasks.discard(finished)
            error = None if finished.cancelled() else finished.exception()
            # What the journal refuses was told when it did.
            if error is not None and not isinstance(error, StorageError):
                log.error("background work failed", exc_info=error)

        task.add_done_callback(done)

    def context(self) -> Context:
        """What the handlers get."""
        self.handlers_context = Context(
            config=self.loaded.config,
            storage=self.storage,
            state=self.state,
            series=self.series,
            engine=self.alerting.engine,
            hub=self.hub,
            clock=self.clock,
            own_hosts=self.access.own_hosts,
            own_ports=self.access.own_ports,
            own_origins=self.access.own_origins,
            authenticate=self.access.authenticate,
            ingest=self.take,
            count_events=self.count_events,
            reload=self.reload,
            compare=lambda: self.compare({}),
            rules=self.alerting.rules,
            store_rule=self.alerting.store_rule,
            delete_rule=self.alerting.delete_rule,
            save=self.save,
            save_alerts=self.alerting.save,
            standing=self.alerting.standing,
            decisions=partial(explain.decisions, self.alerting),
            stats=self.views.stats,
            dashboard=self.views.dashboard,
            exposition=lambda: figures.metrics(self),
            ready=self.not_ready,
            channels=lambda: self.notifying.outbox.names,
            notifying=self.notifying,
        )
        return self.handlers_context

    def socket_arguments(self) -> dict[str, Any]:
        return {"hub": self.hub, "check_origin": self.access.check_origin, "identify": self.access.identify}

    # -- the way through -----------------------------------------------------------------------------------------

    async def take(self, events: Any) -> tuple[int, int]:
        """Ingest with its counters."""
        try:
            accepted, duplicates = await self.ingest.submit(events)
        except StorageError as error:
            self.storage_failed(error)
            raise
        self.storage_problem = ""
        self.count_events("accepted", accepted)
        self.count_events("duplicate", duplicates)
        return accepted, duplicates

    def count_events(self, outcome: str, count: int) -> None:
        if count:
            self.counters[f"events:{outcome}"] += count

    def storage_failed(self, error: Exception) -> None:
        self.storage_errors += 1
        self.storage_problem = str(error)
        log.error("the journal refused a write: %s", error)

    def listen(self, changes: list[Change], now: int) -> None:
        """Hand changes to the recorder and the streams."""
        executions: dict[str, Any] = {}
        lines = []
        for change in changes:
            if isinstance(change, Logged):
                lines.append(change.line)
                continue
            self.recorder.observe(change, now)
            if isinstance(change, ExecutionChanged):
                executions[change.execution.execution_id] = change.execution
            elif isinstance(change, ValidationRun):
                self.views.validations_changed = True
        if executions:
            self.hub.offer("flow_executions", executions.values(), executions.keys())
        if lines:
            self.views.remember(lines)
            self.hub.offer("event_log", lines)

    def sample(self) -> None:
        """Each second: the host's series, and those made from executions."""
        now = self.last_sample = self.clock()
        for one in self.host.sample(now):
            self.series.add(one)
        for one in self.recorder.tick(now, self.state.active()):
            self.series.add(one)

    def evaluate(self) -> None:
        """Evaluate the rules, once there is a sample: until then what is measured is not absent."""
        if self.last_sample is not None:
            self.alerting.evaluate()

    async def save(
        self, *, documents: Any = (), history: Any = (), outbox: Any = (), points: bool | Collection[str] = False
    ) -> None:
        """One transaction with all that changed since the last; ``points``: of all series, or of those with these names."""
        async with self._saving:
            # Read in one moment, committed in one transaction: what is replayed after a kill is counted on top.
            applied, counters = self.ingest.applied, msgspec.json.encode(self.counters)
            must = bool(documents or history or outbox)
            if counters != self._counted:
                documents = [*documents, ("daemon", "counters", counters)]
            taken = self.state.take()
            rows: list[ExecutionRow] = []
            for start in range(0, len(taken), SLICE):
                rows += [ExecutionRow(*row) for row in self.state.rows(taken[start : start + SLICE])]
                await asyncio.sleep(0)
            blocks = [SeriesPoints(*block) for block in self.series.drain(None if points is True else points)] if points else []
            if not (rows or blocks or documents or history or outbox):
                return
            try:
                batch = Batch(
                    executions=rows, applied=applied, points=blocks, documents=list(documents), history=list(history), outbox=list(outbox)
                )  # fmt: skip
                await asyncio.wrap_future(self.storage.save(batch))
            except StorageError as error:
                self.state.touch(taken)
                self.storage_failed(error)
                if must:
                    raise
                return
            self._counted = counters
            for _ in range(0, len(taken), SLICE):
                if not self.state.trim(2 * SLICE):
                    break
                await asyncio.sleep(0)

    def publish(self) -> None:
        """Each second: the state streams, heartbeats, and records to disk."""
        now = self.clock()
        self.views.publish(now)
        self.hub.tick(now)
        self.notifying.tick(self.alerting.engine.waiting, now - self.started, self.loaded.config.alerts.hold_after_start)
        self.background(self.save())

    def housekeep(self) -> None:
        """Each 10 s: series to disk, stale executions, the status line."""
        now = self.clock()
        if changes := self.state.expire(now):
            self.listen(changes, now)
        self.background(self.save(points=True))
        self.background(self.alerting.keep())
        self.background(self.notifying.housekeep())
        firing = sum(alert.status == "firing" for alert in self.alerting.engine.active())
        clients = self.hub.stats()["connectedClients"]
        self.notifier.status(f"{len(self.state.active())} executions active, {firing} alerts firing, {clients} clients")

    def retain(self) -> None:
        self.background(self._retain())

    async def _retain(self) -> None:
        storage = self.loaded.config.storage
        kept = storage.retention
        retention = {"events": kept.events, "executions": kept.executions, "history": kept.executions, **kept.series}
        outcome = await asyncio.wrap_future(self.storage.retain(self.clock(), retention, storage.max_size))
        if outcome.oversize:
            log.warning("storage.max_size is reached: the oldest events and executions were removed before their retention ended")

    # -- reload --------------------------------------------------------------------------------------------------

    async def control_reload(self, body: dict[str, Any]) -> dict[str, Any]:
        return await self.reload()

    async def reload(self) -> dict[str, Any]:
        """Build the whole new configuration, then swap it in; on any mistake the old one stays in force."""
        async with self._reloading:
            self.notifier.reloading()
            try:
                loaded = await asyncio.to_thread(read_config, self.path, self.overrides)
                channels = await asyncio.to_thread(build, loaded)
            except ConfigError as error:
                self.reload_ok, self.reload_error = False, str(error)
                for mistake in error.mistakes:
                    log.error("reload refused: %s:%s: %s: %s", mistake.file, mistake.line, mistake.path, mistake.message)
                self.notifier.ready()
                self.views.publish_health(self.clock())
                return {"ok": False, "mistakes": [dataclasses.asdict(one) for one in error.mistakes]}
            found = await self.difference(loaded)
            self.loaded = loaded
            self.handlers_context.config = loaded.config
            logs.configure(loaded.config.logging.level, loaded.config.logging.format)
            self.hub.configure(self.hub_settings())
            await self.notifying.use(channels)
            await self.alerting.use_rules()
            self.reload_ok, self.reload_error, self.reload_time = True, "", self.clock()
            log.info("configuration reloaded: rules %s", found["rules"])
            for key in found["needsRestart"]:
                log.warning("%s changed: it takes effect after a restart", key)
            self.notifier.ready()
            self.views.publish_health(self.clock())
            return {"ok": True, **found, "warnings": loaded.warnings}

    async def difference(self, loaded: Loaded) -> dict[str, Any]:
        """What ``loaded`` changes: see ``difference``. What waits for a restart is told against what the start has read."""
        rules, after = self.alerting.rules(), self.alerting.rules_with(loaded.rules)
        found = await asyncio.to_thread(difference, self.loaded.config, rules, loaded.config, after)
        return found | {"needsRestart": diff_restart(self.begun, loaded.config)}

    async def compare(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a reload would change, without it: of the daemon's own file, or of the one named ``file``."""
        path = Path(str(body["file"])) if body.get("file") else self.path
        try:
            loaded = await asyncio.to_thread(read_config, path, self.overrides)
        except ConfigError as error:
            return {"ok": False, "mistakes": [dataclasses.asdict(one) for one in error.mistakes]}
        return {"ok": True, **await self.difference(loaded), "warnings": loaded.warnings}

    async def export_rules(self, body: dict[str, Any]) -> dict[str, Any]:
        """The rules of the API, or all, as they are written in a file."""
        rules = self.alerting.rules() if body.get("all") is True else self.alerting.book.rules
        return {"ok": True, "rules": [written(rules[key]) for key in sorted(rules)]}

    def hub_settings(self) -> HubSettings:
        socket_config = self.loaded.config.websocket
        return HubSettings(
            heartbeat_interval=socket_config.heartbeat_interval,
            update_interval=socket_config.update_interval,
            max_clients=socket_config.max_clients,
            compression=socket_config.compression,
            max_message_size=socket_config.max_message_size,
            client_buffer=socket_config.client_buffer,
        )

    # -- health and figures --------------------------------------------------------------------------------------

    def not_ready(self) -> list[str]:
        """Reasons why this daemon is not ready; none when it is."""
        reasons = [] if self.listening else ["the listeners are not up"]
        if self._stopping is not None:
            reasons.append("the daemon is stopping")
        if self.storage_problem:
            reasons.append(f"the journal refuses writes: {self.storage_problem}")
        return reasons

    # -- stop ----------------------------------------------------------------------------------------------------

    def stop_soon(self, number: int) -> None:
        """The first signal stops in order, a second one at once."""
        if self._stopping is not None:
            log.warning("second signal: leaving at once")
            sys.stderr.flush()
            os._exit(128 + number)
        log.info("stopping on %s", signal.Signals(number).name)
        self._stopping = asyncio.ensure_future(self.stop())

    async def stop(self) -> None:
        """Stop accepting, say good-bye, flush, commit; last started, first stopped."""
        self.notifier.stopping()
        for callback in self.callbacks:
            callback.stop()
        for door in self.doors:
            door.stop()
        for server in self.servers:
            server.stop()
        try:
            async with asyncio.timeout(GRACE):
                with contextlib.suppress(StorageError):
                    self.hub.close("the daemon is stopping")
                    await self.hub.drained(1.0)
                    await self.alerting.stop()
                    await self.notifying.stop()
                    await self.save(points=True)
                for server in self.servers:
                    await server.close_all_connections()
        except TimeoutError:
            log.warning("not everything ended within %s s", GRACE)
        self.lag.stop()
        await asyncio.to_thread(self.storage.close)
        (self.loaded.config.storage.path / "control.sock").unlink(missing_ok=True)
        log.info("stopped")
        self.stopped.set()

