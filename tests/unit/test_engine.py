from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from qflowd.alerts.engine import Engine
from qflowd.model import Rule, Sample, Transition
from qflowd.series.store import SeriesStore

RULE = Rule(id="r", name="R", condition="v > 5", for_=2000, keep_firing_for=2000, resolve_when="v < 3", cooldown=8000)



def run(steps: list[tuple[int, bool]]) -> list[tuple[Transition, int]]:
    numbers = count()
    make = lambda: Engine([RULE], random=lambda n: next(numbers).to_bytes(n, "big"))  # noqa: E731
    store, one, found = SeriesStore(), make(), []
    for step, (value, restart) in enumerate(steps):
        now = 1000 * (step + 1)
        store.add(Sample("v", {}, now, float(value)))
        if restart:
            blob = one.dump()
            one = make()
            one.restore(blob, now)
        found += [(transition, now) for transition in one.evaluate(store, now)]
    return found


@given(st.lists(st.tuples(st.sampled_from([0, 4, 9]), st.booleans()), max_size=40))
def test_a_restart_changes_nothing(steps: list[tuple[int, bool]]) -> None:
    assert run(steps) == run([(value, False) for value, _ in steps])


def test_life() -> None:
    found = run([(value, False) for value in [9, 9, 9, 4, 4, 0, 0, 0]])
    assert [(one.before, one.alert.status, one.notify, at) for one, at in found] == [
        (None, "pending", False, 1000), ("pending", "firing", True, 3000), ("firing", "resolved", True, 8000)
    ]  # fmt: skip
