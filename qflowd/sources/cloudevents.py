"""CloudEvents 1.0 (structured, batch, binary, NDJSON) and the Qflow envelope, translated into :class:`Event`.

The usual event costs one typed decode and one check of its data, both in C; only what fails there is looked at again,
slowly, to say what would be right.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Raw, Struct

from qflowd.model import Event, Problem, Rejection
from qflowd.sources.payload import MAX_DEPTH, Refused, is_json, media_type, plain, read_data, shallow
from qflowd.sources.types import EXTRA, SCHEMAS, Id, explain, problems

AHEAD = 86_400_000
"""How far ahead of the daemon's clock an event's time may be, in ms."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

Text = Annotated[str, Meta(max_length=1024)]
Time = Annotated[datetime, Meta(tz=True)]


class MalformedBody(Exception):
    """The body as a whole cannot be read; ``problem`` says why and what would be right."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.path}: {problem.message}")
        self.problem = problem


class Translated(Struct, frozen=True):
    """``total`` counts the events the body held: the good ones, the rejected ones."""

    events: list[Event]
    rejected: list[Rejection]
    total: int


class _Cloud(Struct, gc=False):
    """A CloudEvent's attributes; extensions other than ``actor`` are not kept."""

    specversion: Literal["1.0"]
    id: Id
    source: Id
    type: Id
    time: Time | None = None
    subject: Text | None = None
    datacontenttype: str | None = None
    data: Any = None
    data_base64: str | None = None
    actor: Any = None


class _Envelope(Struct, gc=False):
    """The original Qflow envelope."""

    eventId: Id
    source: Id
    type: Id
    timestamp: Time | int | float | None = None
    version: str | int | float | None = None
    actor: Any = None
    data: Any = None


_decode_cloud = msgspec.json.Decoder(_Cloud).decode
_decode_any = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_convert = msgspec.convert


def translate(body: bytes, content_type: str, headers: Mapping[str, str], now: int) -> Translated:
    """Every event of ``body``. ``now`` in epoch ms stands in for a missing time.

    Raises :class:`MalformedBody` where no event can be told apart from another; else each event stands for itself.
    """
    media, charset = media_type(content_type)
    lower = {name.lower(): value for name, value in headers.items() if name[:3].lower() == "ce-"}
    if charset not in ("utf-8", "utf8", "us-ascii", ""):
        try:
            body = body.decode(charset).encode()
        except (LookupError, UnicodeError):
            raise MalformedBody(Problem("content-type", f"charset {charset!r} cannot be read; send UTF-8")) from None
    if lower and not media.startswith("application/cloudevents"):
        return _binary(body, content_type, media, lower, now)
    if body[:3] == b"\xef\xbb\xbf":
        body = body[3:]
    if media in ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"):
        lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        if not lines:
            raise MalformedBody(Problem("", "the body is empty; send one event a line"))
        return _translate(lines, now)
    if media == "application/cloudevents-batch+json":
        return _translate(_elements(body), now)
    if media in ("", "application/cloudevents+json", "application/json", "text/json"):
        start = body.lstrip(b" \t\r\n")[:1]
        if start == b"[" and media != "application/cloudevents+json":
            return _translate(_elements(body), now)
        if not start:
            raise MalformedBody(Problem("", "the body is empty; send a CloudEvent"))
        _check(body)
        return _translate([body], now)
    raise MalformedBody(Problem(
        "content-type",
        f"{media!r} is not accepted; send application/cloudevents+json, application/cloudevents-batch+json, "
        "application/x-ndjson, application/json, or ce-* headers"))


def _check(body: bytes) -> None:
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(Problem("", f"not JSON: {plain(error)}")) from None


def _elements(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _decode_list(body)]
    except msgspec.ValidationError:
        raise MalformedBody(Problem("", "a batch is a JSON list of CloudEvents")) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(Problem("", f"not JSON: {plain(error)}")) from None


def _translate(texts: Iterable[bytes], now: int) -> Translated:
    events: list[Event] = []
    rejected: list[Rejection] = []
    append = events.append
    latest = now + AHEAD
    index = -1
    for index, text in enumerate(texts):
        try:
            # Fewer openings than the bound cannot nest deeper than it, and counting is far cheaper than walking.
            if text.count(b"{") + text.count(b"[") > MAX_DEPTH:
                shallow(text)
            cloud = _decode_cloud(text)
            data = cloud.data
            moment = cloud.time
            if type(data) is dict and moment is not None and cloud.actor is None and cloud.data_base64 is None:
                kind = cloud.type
                schema = SCHEMAS.get(kind)
                if schema is not None:
                    _convert(data, schema)
                time = (moment - _EPOCH) // _MS
                if 0 <= time <= latest and (kind not in EXTRA or not EXTRA[kind](data)):
                    append(Event(cloud.source, cloud.id, kind, time, data, cloud.subject or ""))
                    continue
            events.append(_event(cloud, now))
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            try:
                events.append(_slowly(text, now))
            except Refused as refused:
                rejected.append(Rejection(index, refused.errors))
        except Refused as refused:
            rejected.append(Rejection(index, refused.errors))
    return Translated(events, rejected, index + 1)


def _slowly(text: bytes, now: int) -> Event:
    """The event, or every mistake in it."""
    try:
        raw = _decode_any(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refused(Problem("", f"not JSON: {plain(error)}")) from None
    return _from_mapping(raw, now)


def _from_mapping(raw: Any, now: int) -> Event:
    if not isinstance(raw, dict):
        raise Refused(Problem("", "must be an object: a CloudEvent or a Qflow envelope"))
    envelope = "eventId" in raw and "specversion" not in raw
    shape = _Envelope if envelope else _Cloud
    wrong = explain(raw, shape, "")
    if wrong:
        kind = raw.get("type")
        if isinstance(kind, str) and "data_base64" not in raw:
            wrong += problems(kind, raw.get("data"))
        raise Refused(*wrong)
    if not envelope:
        return _event(_convert(raw, _Cloud), now)
    given = _convert(raw, _Envelope)
    stamp = given.timestamp
    time = None
    if isinstance(stamp, datetime):
        time = (stamp - _EPOCH) // _MS
    elif stamp is not None:
        time = int(stamp)
    return _finish(given.source, given.eventId, given.type, time, given.data, given.actor, "", now, "timestamp")


def _event(cloud: _Cloud, now: int) -> Event:
    data = cloud.data
    if cloud.data_base64 is not None:
        if data is not None:
            raise Refused(Problem("data_base64", "only one of data and data_base64 may be given"))
        try:
            held = base64.b64decode(cloud.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(Problem("data_base64", "is not base64")) from None
        data = read_data(held, media_type(cloud.datacontenttype or "application/json")[0], "data_base64")
    elif isinstance(data, str) and cloud.type in SCHEMAS and data[:1] == "{" and (
        is_json(media_type(cloud.datacontenttype or "")[0])
    ):
        # Some senders hold their JSON as text.
        data = read_data(data.encode(), "application/json", "data")
    time = None if cloud.time is None else (cloud.time - _EPOCH) // _MS
    return _finish(cloud.source, cloud.id, cloud.type, time, data, cloud.actor, cloud.subject or "", now, "time")


def _finish(source: str, name: str, kind: str, time: int | None, data: Any, actor: Any, subject: str, now: int,
            time_path: str) -> Event:
    wrong = problems(kind, data)
    if time is None:
        time = now
    elif time > now + AHEAD:
        hours = (time - now) // 3_600_000
        wrong.insert(0, Problem(time_path, f"is {hours} h ahead of this daemon's clock; at most 24 h is accepted"))
    elif time < 0:
        wrong.insert(0, Problem(time_path, "is before 1970"))
    if wrong:
        raise Refused(*wrong)
    if data is None:
        data = {}
    elif not isinstance(data, dict):
        data = {"value": data}
    if actor is not None and "actor" not in data:
        data["actor"] = actor
    return Event(source, name, kind, time, data, subject)


def _binary(body: bytes, content_type: str, media: str, headers: Mapping[str, str], now: int) -> Translated:
    """Binary mode: attributes in ``ce-*`` headers (percent-encoded), the data is the body."""
    raw: dict[str, Any] = {name[3:]: _header(value) for name, value in headers.items()}
    raw.pop("data", None)
    raw.pop("data_base64", None)
    raw["datacontenttype"] = content_type
    try:
        raw["data"] = read_data(body, media, "data")
        return Translated([_from_mapping(raw, now)], [], 1)
    except Refused as refused:
        return Translated([], [Rejection(0, refused.errors)], 1)


def _header(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == '"' == value[-1]:
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return unquote(value)
