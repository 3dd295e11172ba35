"""Runs ``qflowd`` with each callback of the loop timed: those over 10 ms of CPU are told on stderr as ``slow callback``.

CPU time of the loop's own thread, so that a busy machine does not count.
"""

from __future__ import annotations

import asyncio
import sys
import time

from qflowd.__main__ import main

LIMIT = 0.010
run = asyncio.Handle._run


def timed(handle: asyncio.Handle) -> None:
    began = time.thread_time()
    run(handle)
    used = time.thread_time() - began
    if used > LIMIT:
        print(f"slow callback: {used * 1000:.1f} ms in {handle!r}", file=sys.stderr, flush=True)


asyncio.Handle._run = timed  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
