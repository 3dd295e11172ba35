"""Names that sort by time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qflowd.alerts.ids import Ids, ulid


def test_a_ulid_is_that_of_its_specification() -> None:
    # The spec's own example of a time, https://github.com/ulid/spec
    assert ulid(1_469_918_176_385, bytes(10)) == "01ARYZ6S41" + "0" * 16
    assert ulid(0, b"\xff" * 10) == "0" * 10 + "Z" * 16


@given(st.lists(st.integers(0, 1 << 40), min_size=2), st.binary(min_size=10, max_size=10))
def test_names_sort_in_the_order_in_which_they_were_made(times: list[int], randomness: bytes) -> None:
    ids = Ids(lambda size: randomness)
    found = [ids(time) for time in times]
    assert found == sorted(set(found)) and {len(one) for one in found} == {26}
    assert found[0] == ulid(times[0], randomness)
