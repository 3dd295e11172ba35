"""Long work is interrupted, keeps its order, and what fails does not stop the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import pytest

from qflowd.hub.slices import Slices


def test_small_work_is_over_when_add_returns() -> None:
    done: list[int] = []

    def job() -> Iterator[None]:
        for n in range(3):
            done.append(n)
            yield

    async def body() -> None:
        slices = Slices()
        slices.add(job())
        assert done == [0, 1, 2] and not slices.busy

    asyncio.run(body())


def test_others_get_their_turn_and_jobs_keep_their_order() -> None:
    done: list[tuple[str, int]] = []
    turns: list[int] = []

    def job(name: str) -> Iterator[None]:
        for n in range(20):
            until = perf_counter() + 0.0005
            while perf_counter() < until:
                pass
            done.append((name, n))
            yield

    async def body() -> None:
        slices = Slices(0.001)
        slices.add(job("a"))
        slices.add(job("b"))
        assert slices.busy and len(done) < 20
        while slices.busy:
            turns.append(len(done))
            await asyncio.sleep(0)
        assert done == [("a", n) for n in range(20)] + [("b", n) for n in range(20)]
        assert len(turns) >= 10

    asyncio.run(body())


def test_a_job_that_fails_is_told_and_ends_alone() -> None:
    done: list[str] = []

    def bad() -> Iterator[None]:
        yield
        raise ValueError("broken")

    def good() -> Iterator[None]:
        done.append("good")
        yield

    async def body() -> None:
        slices = Slices()
        with pytest.raises(ValueError, match="broken"):
            slices.add(bad())
        slices.add(good())
        assert done == ["good"] and not slices.busy

    asyncio.run(body())
