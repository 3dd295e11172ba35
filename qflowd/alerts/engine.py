"""The life of alerts: a pure function of rules, series and time. Times and durations are milliseconds.

A round evaluates, at one time and in the order of the rules, those whose outcome can have changed: a series that they read
did, or time moves them (see ``schedule``). It can be taken in steps between which the loop is free.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from qflowd.alerts.contact import Gate
from qflowd.alerts.entry import Entry, compiled, elements
from qflowd.alerts.evaluation import Gaps, watch, write
from qflowd.alerts.keep import Kept, identity, redress
from qflowd.alerts.ledger import Ledger, News, encoded
from qflowd.alerts.recording import ended
from qflowd.alerts.schedule import Schedule
from qflowd.alerts.standing import standing, state
from qflowd.alerts.step import NEVER, Step
from qflowd.alerts.template import NOWHERE, Surroundings
from qflowd.model import Alert, AlertStatus, Decision, Rule, Transition
from qflowd.model.explanation import Standing
from qflowd.series.promql import PromQLError

if TYPE_CHECKING:
    from qflowd.series.follow import Follower
    from qflowd.series.store import Series, SeriesStore

log = logging.getLogger("qflowd.alerts")

DOWNTIME = 3_600_000
BREATH = 50
"""Quiet rules evaluated before others get their turn; any other rule gives it at once."""
META = ""
"""The key of the document that holds the time of the last round; the others are named by the id of their rule."""


class AlertError(Exception):
    """What was asked of an alert is not possible; the text says why."""


class _Meta(msgspec.Struct):
    time: int


class Engine:
    """Evaluates rules. ``random(n)`` gives n bytes for ids; ``gates`` may hold firing notifications back; ``interval`` is that
    of rules that name none, 0 for each round; ``around`` is what texts see, beside what they ask for; ``observe`` is called with the
    alerts of an alerting rule after each evaluation of it, and may add points to the store, which rules further down see."""

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        random: Callable[[int], bytes] = os.urandom,
        gates: Sequence[Gate] = (),
        interval: int = 0,
        around: Surroundings = NOWHERE,
        observe: Callable[[Rule, list[Alert], int], None] | None = None,
    ) -> None:
        self._gates, self.interval, self._around, self._observe = gates, interval, around, observe
        self._ledger = Ledger(random)
        self.evaluated = self.failed = 0
        self._entries: dict[str, Entry] = {}
        self._active: dict[str, Entry] = {}
        self._waiting: dict[Entry, None] = {}
        self._orphans: dict[str, Kept] = {}
        self._ended: list[tuple[str, list[dict[str, str]]]] = []
        self._gaps = Gaps({}, 0)
        self._time = self._round = 0
        self._store: SeriesStore | None = None
        self._follower: Follower | None = None
        self._schedule = Schedule((), interval)
        self.replace(rules, 0)

    # -- rules ---------------------------------------------------------------------------------------------------

    def replace(self, rules: Iterable[Rule], now: int) -> list[Transition]:
        """Take these rules. Alerts of rules that are gone, or watch something else, resolve; what else changed is put on the
        alerts there are."""
        before, self._entries = self._entries, {}
        found: list[Transition] = []
        for rule in rules:
            old = before.get(rule.id)
            if old is not None and (old.rule is rule or _moved(old.rule, rule)):
                old.rule, entry = rule, old
            elif old is not None and old.kept.identity == identity(rule):
                entry = self._redressed(rule, old, now)
            else:
                entry = Entry(rule)
            self._entries[rule.id] = entry
        for rule_id, old in before.items():
            entry_after = self._entries.get(rule_id)
            if entry_after is None or entry_after.kept is not old.kept:
                text = "the rule is gone" if entry_after is None else "the rule watches something else"
                found += self._end(old.rule, old.kept, now, text)
        self._order()
        return found

    def _order(self) -> None:
        self._waiting = {entry: None for entry in self._entries.values() if entry.rule.enabled and entry.last_evaluation is None}
        self._schedule = Schedule(self._entries.values(), self.interval)
        self._active = {rule_id: entry for rule_id, entry in self._entries.items() if entry.kept.lives}
        # The new schedule selects anew: what happened before it is behind each rule's first look.
        if self._store is not None and self._follower is not None:
            self._store.unfollow(self._follower)
        self._store = self._follower = None

    def _redressed(self, rule: Rule, old: Entry, now: int) -> Entry:
        """The rule's new texts on its alerts, which keep their timers under the names of their new labels."""
        kept = old.kept
        redress(rule, kept, self._surroundings(now))
        entry = Entry(rule, kept)
        entry.last_value, entry.last_evaluation, entry.error, entry.wake = old.last_value, old.last_evaluation, old.error, old.wake
        if not kept.empty():
            self._ledger.keep(rule.id, kept, urgent=True)
        return entry

    def _end(self, rule: Rule, kept: Kept, now: int, text: str) -> list[Transition]:
        """Resolve everything of a rule that is no more."""
        step = self._step(rule, kept, now, None)
        for life in kept.lives.values():
            step.resolve(life, text)
        if kept.recorded:
            self._ended.append((rule.record, kept.recorded))
        self._ledger.forget(rule.id, known=not kept.empty())
        self._ledger.report(step)
        return step.transitions

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, store: SeriesStore, now: int, *, everything: bool = False) -> list[Transition]:
        """A whole round at ``now``, for those who keep nothing: what ``take`` would give is dropped. A pending alert that clears
        is told as resolved, with ``notify`` false. ``everything``: also rules whose outcome cannot have changed."""
        self.take()
        for _ in self.steps(store, now, everything=everything):
            pass
        return self.take().transitions

    def steps(self, store: SeriesStore, now: int, *, everything: bool = False) -> Iterator[None]:
        """A round at ``now``, one short step after another. Rules may be replaced between them; what changed is in ``take``."""
        before, self._time = self._time, now
        waiting = dict(self._waiting)
        for rule_id, kept in self._orphans.items():
            entry = self._entries.get(rule_id)
            self._end(entry.rule if entry is not None else _gone(rule_id), kept, now, "the rule is gone, or watches something else")
        self._orphans = {}
        for name, series in self._ended:
            for sample in ended(name, series, now):
                store.add(sample)
        self._ended = []
        schedule = self._schedule
        if store is not self._store:
            self._store, self._follower = store, store.follow()
        assert self._follower is not None, "it is made with the store"
        yield from schedule.notice(self._follower, now)
        queue = schedule.ready(now, before, everything=everything or now < before)
        order = schedule.order
        self._round += 1
        for position in queue:
            order[position].queued = self._round
        at = quiet = 0
        while at < len(queue) and schedule is self._schedule:
            entry = order[queue[at]]
            at += 1
            self.evaluated += 1
            if entry.selected is None:
                schedule.select(entry, store)
            if entry.quiet(now):
                quiet += 1
                if quiet % BREATH == 0:
                    yield
                continue
            self._one(entry, store, now)
            if entry.rule.record or self._observe is not None:
                self._stir(entry, queue, at, now, before)
            yield
        if schedule is not self._schedule:
            # The rules were replaced in the middle: those that are left of this round come with the next.
            return
        for entry in waiting:
            self._waiting.pop(entry, None)

    def _stir(self, entry: Entry, queue: list[int], at: int, now: int, before: int) -> None:
        """Rules further down that read what was just recorded see it in this round."""
        schedule = self._schedule
        assert self._follower is not None, "a round has one"
        for _ in schedule.notice(self._follower, now):
            pass
        for other in [one for one in schedule.dirty if one.position > entry.position and schedule.open(one, now, before)]:
            del schedule.dirty[other]
            if other.queued != self._round:
                other.queued = self._round
                insort(queue, other.position, lo=at)

    def _one(self, entry: Entry, store: SeriesStore, now: int) -> None:
        entry.last_evaluation = now
        step = self._step(entry.rule, entry.kept, now, lambda labels: entry.inputs(store, now, labels))

        def note(text: str) -> None:
            self._ledger.note(entry.rule.id, text, now)

        try:
            if entry.rule.record:
                write(entry, store, now, step)
            else:
                watch(entry, store, now, step, self._gaps, note)
                if self._observe is not None:
                    self._observe(entry.rule, [life.alert for life in entry.kept.lives.values()], now)
            error = None
        except PromQLError as failure:
            # A condition that is ambiguous over today's series says nothing: alerts stay as they are.
            error = str(failure)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            if error != entry.error:
                log.exception("the rule %s cannot be evaluated", entry.rule.id)
        if error is not None:
            self.failed += 1
            entry.last_value = None
        if error != entry.error:
            text = f"the evaluation failed: {error}; alerts stay as they are" if error else "the evaluation works again"
            note(text)
            entry.error = error
        self._after(entry, step)

    def _after(self, entry: Entry, step: Step) -> None:
        kept, rule_id = entry.kept, entry.rule.id
        wake = step.wake() if kept.lives or kept.contacts else NEVER
        if kept.lives and self._time < self._gaps.end:
            wake = min(wake, self._gaps.end)
        if wake != entry.wake or wake <= self._time:
            entry.wake = wake
            if wake < NEVER:
                self._schedule.wake(entry)
        entry.rests = entry.error is None and kept.empty()
        if kept.lives:
            self._active[rule_id] = entry
        else:
            self._active.pop(rule_id, None)
        if step.urgent or step.soft:
            self._ledger.keep(rule_id, kept, urgent=step.urgent)
        self._ledger.report(step)

    def _step(self, rule: Rule, kept: Kept, now: int, inputs: Any) -> Step:
        around = self._surroundings(now)
        return Step(rule, kept, now, ids=self._ledger.ids, gates=self._gates, inputs=inputs or (lambda labels: []), around=around)

    def _surroundings(self, now: int) -> Surroundings:
        """What texts see at ``now``; their queries find nothing to ask while no round has named a store."""
        store = self._store
        if store is None:
            return self._around
        return dataclasses.replace(self._around, query=lambda text: elements(compiled(text).evaluate(store, now)))

    # -- what it says --------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Rules that no round has looked at yet."""
        return len(self._waiting)

    def active(self) -> list[Alert]:
        """Alerts that are pending, firing or acknowledged; copies."""
        return [msgspec.structs.replace(life.alert) for entry in self._active.values() for life in entry.kept.lives.values()]

    def view(self, rule_id: str) -> dict[str, Any]:
        """``state`` (the worst of its alerts), ``lastValue, lastEvaluation, activeAlerts`` of a rule. ``lastValue`` is that of
        the left side of a condition ``vector > scalar``, whether or not it holds, or of a recorded series that is the only
        one; null otherwise."""
        entry = self._entries.get(rule_id)
        found: dict[str, Any] = {
            "state": state(entry),
            "lastValue": entry.last_value if entry is not None else None,
            "lastEvaluation": entry.last_evaluation if entry is not None else None,
            "activeAlerts": len(entry.kept.lives) if entry is not None else 0,
        }
        return found | ({"error": entry.error} if entry is not None and entry.error else {})

    def standing(self, rule_id: str, store: SeriesStore, now: int) -> Standing | None:
        """Where a rule stands, with what its alerts wait for; ``None`` where there is no such rule."""
        entry = self._entries.get(rule_id)
        return None if entry is None else standing(entry, store, self._gates, now)

    def decisions(self, rule_id: str) -> list[Decision]:
        """The newest decisions about a rule, the newest first: what is still in memory."""
        return self._ledger.trace.of(rule_id)

    def reads(self, rule_ids: Iterable[str]) -> set[str]:
        """The names of the series that these rules read."""
        found = [self._entries[rule_id] for rule_id in rule_ids if rule_id in self._entries]
        return {read.name for entry in found for read in entry.reads if read.name is not None}

    # -- what people do ------------------------------------------------------------------------------------------

    def acknowledge(self, alert_id: str, by: str, comment: str | None, now: int) -> Transition:
        """Raises AlertError where the alert is not firing."""
        return self._mark(alert_id, "firing", "acknowledged", by, comment, now)

    def unacknowledge(self, alert_id: str, now: int) -> Transition:
        """Raises AlertError where the alert is not acknowledged."""
        return self._mark(alert_id, "acknowledged", "firing", None, None, now)

    def _mark(
        self, alert_id: str, before: AlertStatus, after: AlertStatus, by: str | None, comment: str | None, now: int
    ) -> Transition:
        for entry in self._active.values():
            for life in entry.kept.lives.values():
                if life.alert.id == alert_id:
                    if life.alert.status != before:
                        raise AlertError(f"the alert is {life.alert.status}, expected {before}")
                    step = self._step(entry.rule, entry.kept, now, None)
                    transition = step.mark(life, after, by, comment)
                    self._after(entry, step)
                    return transition
        raise AlertError(f"no active alert {alert_id!r}")

    # -- what is kept --------------------------------------------------------------------------------------------

    def take(self) -> News:
        """What happened since the last call, with the documents as they stood right after it."""
        found = self._ledger.take()
        if found:
            found.documents |= self.meta()
        return found

    def soft(self, limit: int) -> dict[str, bytes | None]:
        """Documents of at most ``limit`` rules of which only values changed since they were given; empty where none are left."""
        return {one: encoded(self._entries[one].kept) for one in self._ledger.soft(limit) if one in self._entries}

    def meta(self) -> dict[str, bytes]:
        """The document of the engine."""
        return {META: msgspec.msgpack.encode(_Meta(self._time))}

    def dump(self) -> dict[str, bytes]:
        """Every alert and timer: one document a rule that has any, and one of the engine."""
        kept = {rule_id: entry.kept for rule_id, entry in self._entries.items() if not entry.kept.empty()}
        documents = {rule_id: msgspec.msgpack.encode(one) for rule_id, one in {**self._orphans, **kept}.items()}
        return {**self.meta(), **documents}

    def restore(self, documents: Mapping[str, bytes], now: int, gaps: Mapping[Series, int] | None = None) -> None:
        """Go on from documents. Alerts whose rule is gone resolve in the next round; after a downtime of more than an hour
        pending starts again. ``gaps``: series that were ended because nothing measured them meanwhile, with the time of that
        marker; an alert whose inputs are all among them stays as it is until they come back, 5 minutes at most."""
        meta = documents.get(META)
        self._time = msgspec.msgpack.decode(meta, type=_Meta).time if meta is not None else 0
        self._gaps = Gaps(dict(gaps or {}), now)
        downtime = now - self._time if self._time else 0
        for rule_id, blob in documents.items():
            if rule_id == META:
                continue
            kept = msgspec.msgpack.decode(blob, type=Kept)
            entry = self._entries.get(rule_id)
            if entry is None or entry.kept.identity != kept.identity:
                self._orphans[rule_id] = kept
                continue
            entry = self._entries[rule_id] = Entry(entry.rule, kept)
            self._revive(entry, now, downtime)
        self._order()
        for entry in self._entries.values():
            # An interval that was running goes on.
            entry.last_evaluation = entry.last_evaluation or (self._time if downtime <= DOWNTIME and self._time else None)

    def _revive(self, entry: Entry, now: int, downtime: int) -> None:
        step = self._step(entry.rule, entry.kept, now, None)
        if downtime > DOWNTIME:
            for life in entry.kept.lives.values():
                if life.alert.status == "pending":
                    step.restarted(life, downtime)
        redress(entry.rule, entry.kept, self._surroundings(now))
        entry.wake = step.wake()
        if step.urgent:
            self._ledger.keep(entry.rule.id, entry.kept, urgent=True)
        self._ledger.report(step)


def _moved(before: Rule, after: Rule) -> bool:
    """Whether a rule is as it was, but perhaps on another line of its file."""
    return before == after or msgspec.structs.replace(before, source=after.source, version=after.version) == after


def _gone(rule_id: str) -> Rule:
    """Stands for a rule that only its alerts remember."""
    return Rule(id=rule_id, name=rule_id, condition="")
