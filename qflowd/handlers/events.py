"""``POST /api/v1/events``: the body is read as it comes, inflated within its bound, and committed before it is answered."""

from __future__ import annotations

import asyncio
import logging
import zlib
from typing import Any

from tornado import web

from qflowd.handlers.base import Handler, ProblemError
from qflowd.model import Problem
from qflowd.sources.cloudevents import MalformedBody, translate
from qflowd.storage import QueueFull, StorageError

log = logging.getLogger(__name__)

PIECE = 512 * 1024
"""Bytes that are inflated, or translated, in one go on the loop."""
@web.stream_request_body
class Events(Handler):
    """CloudEvents in all modes, NDJSON, and the Qflow envelope."""

    roles = {"POST": "source"}

    def prepare(self) -> None:
        self._limit = self.context.config.limits.max_body_size
        self._size = 0
        self._chunks: list[bytes] = []
        self._inflate: Any = None
        self._refusal: ProblemError | None = None
        # The refusal waits for the end of the body: answering before it is read would cut the sender's connection.
        self.request.connection.set_max_body_size(4 * self.context.config.limits.max_body_size)  # type: ignore[union-attr]
        try:
            self.guard()
        except ProblemError as error:
            self._refusal = error
        encoding = self.request.headers.get("Content-Encoding", "identity").lower()
        if encoding == "gzip":
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif encoding != "identity" and self._refusal is None:
            self._refusal = ProblemError(415, f"the content encoding {encoding!r} is not known", [Problem("Content-Encoding", "gzip")])

    async def data_received(self, chunk: bytes) -> None:
        if self._inflate is None:
            self._keep(chunk)
            return
        while chunk and self._refusal is None:
            try:
                self._keep(self._inflate.decompress(chunk, PIECE))
            except zlib.error as error:
                self._refuse(ProblemError(400, "the gzip body is damaged", [Problem("", str(error))]))
            chunk = self._inflate.unconsumed_tail
            if chunk:
                await asyncio.sleep(0)

    def _keep(self, piece: bytes) -> None:
        """Add a piece of the inflated body, unless it is too much."""
        self._size += len(piece)
        if self._refusal is None and self._size > self._limit:
            self._refuse(ProblemError(413, f"the body is over {self._limit} bytes after inflating; send smaller batches"))
        elif self._refusal is None:
            self._chunks.append(piece)

    def _refuse(self, error: ProblemError) -> None:
        self._refusal = error
        self._chunks.clear()

    async def post(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if self._inflate is not None and not self._inflate.eof:
            raise ProblemError(400, "the gzip body ends too early")
        context = self.context
        try:
            asked = (b"".join(self._chunks), self.request.headers.get("Content-Type", ""), self.request.headers, context.clock())
            # A large body would keep the loop from everything else.
            found = await asyncio.to_thread(translate, *asked) if self._size > PIECE else translate(*asked)
        except MalformedBody as error:
            context.count_events("malformed", 1)
            raise ProblemError(400, error.problem.message, [error.problem], rejected=[]) from None
        if found.rejected:
            context.count_events("rejected", len(found.rejected))
        if found.rejected and not found.events:
            raise ProblemError(
                400,
                "no event could be accepted",
                [Problem(f"[{bad.index}].{one.path}", one.message) for bad in found.rejected[:20] for one in bad.errors],
                rejected=found.rejected,
            )
        try:
            accepted, duplicates = await context.ingest(found.events)
        except QueueFull:
            context.count_events("overloaded", len(found.events))
            raise ProblemError(503, "the queue of events is full; send again", retry_after=1) from None
        except StorageError as error:
            context.count_events("unstored", len(found.events))
            raise ProblemError(503, f"the events cannot be stored: {error}", retry_after=10) from None
        self.answer({"accepted": accepted, "duplicates": duplicates, "rejected": found.rejected})
