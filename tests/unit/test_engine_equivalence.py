"""Evaluating only what can have changed, and restarts at any step, give the same transitions as evaluating everything always."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from qflowd.alerts.engine import Engine
from qflowd.model import Rule, Sample
from qflowd.series.store import SeriesStore

CONDITIONS = (
    "a > 5", 'b{i="1"} > 5', "a > 5 and b > 5", "absent(a)", "avg_over_time(a[10s]) > 4", "sum(b) > 9", "a offset 5s > 5", "recorded > 12",
    "time() % 7 > bool 3",
)  # fmt: skip
SEEDS = 40


def some_rules(chance: random.Random) -> list[Rule]:
    found = [Rule(id="recorded", name="recorded", condition="sum(a) + sum(b)", record="recorded", group="g")]
    for number in range(6):
        found.append(
            Rule(
                id=f"r{number}",
                name=f"r{number}",
                condition=chance.choice(CONDITIONS),
                for_=chance.choice([0, 0, 3_000]),
                keep_firing_for=chance.choice([0, 0, 4_000]),
                cooldown=chance.choice([0, 8_000]),
                no_data=chance.choice(["ok", "keep", "alert"]),  # type: ignore[arg-type]
                interval=chance.choice([0, 0, 5_000]),
            )
        )
    chance.shuffle(found)
    return found


def begin(rules: list[Rule]) -> Engine:
    return Engine(rules, random=lambda size: bytes(size))


def play(seed: int, *, everything: bool = False, restarts: bool = False) -> list[tuple[Any, ...]]:
    chance, fate = random.Random(seed), random.Random(-seed - 1)
    rules = some_rules(chance)
    store, engine, now = SeriesStore(), begin(rules), 1_700_000_000_000
    found: list[tuple[Any, ...]] = []
    for _ in range(120):
        now += chance.choice([1_000] * 8 + [2_000, 60_000]) if chance.random() < 0.97 else 310_000
        for name, label in itertools.product("ab", "12"):
            if chance.random() < 0.4:
                store.add(Sample(name, {"i": label}, now, chance.choice([None, 0.0, 4.0, 6.0, 9.0])))
        if restarts and fate.random() < 0.2:
            kept, engine = engine.dump(), begin(rules)
            engine.restore(kept, now)
        for one in engine.evaluate(store, now, everything=everything):
            alert = one.alert
            found.append((now, alert.rule_id, alert.fingerprint, one.before or "", alert.status, one.notify, alert.flapping))
    # In which order the alerts of one moment are told is no promise; that of one alert's transitions is.
    return sorted(found, key=lambda one: one[:3])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_ways_of_evaluating_say_the_same(seed: int) -> None:
    full = play(seed, everything=True)
    assert full
    assert play(seed) == full
    assert play(seed, restarts=True) == full
