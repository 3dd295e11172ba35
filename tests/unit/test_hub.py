"""The WebSocket hub over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado import websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from qflowd.hub import FilterError, Filters, Hub, HubSettings, SocketHandler, tornado_protocol
from qflowd.hub.client import Client
from qflowd.hub.limits import Bucket
from qflowd.hub.requests import Subscribe
from qflowd.hub.tornado_protocol import negotiate

FLOW_FIELDS = {"flowId": "flowId", "status": "status", "node": ("nodeId", "labels.node")}


@dataclass
class View:
    kind: Any = "message"
    items: str | None = "changes"
    item_fields: dict[str, Any] = field(default_factory=lambda: dict(FLOW_FIELDS))
    rows: list[Any] = field(default_factory=list)
    snapshot_items: str | None = None

    def snapshot(self) -> list[Any]:
        return list(self.rows)


class House:
    def __init__(self, **options: Any) -> None:
        self.now = 1_000_000
        self.views = {
            "flow_executions": View(),
            "alert_events": View(items=None, item_fields={"severity": "severity"}, snapshot_items="alerts"),
            "performance_metrics": View(kind="state", items=None, item_fields={}, rows=[{"cpu": 1}]),
        }
        authenticate = options.pop("authenticate", None)
        self.handler: dict[str, Any] = {k: options.pop(k) for k in ("check_origin", "identify") if k in options}
        settings = HubSettings(**options)
        dashboard: dict[str, Any] = {"realTimeMetrics": {}}
        self.hub = Hub(settings, lambda: self.now, "e1", self.views, lambda: dashboard, "1.0", authenticate=authenticate)
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def changes(self, *numbers: int, flow: str = "f", **extra: Any) -> None:
        items = [{"executionId": str(n), "flowId": flow, "status": "running", **extra} for n in numbers]
        self.hub.publish("flow_executions", items)


@asynccontextmanager
async def house(**options: Any):
    place = House(**options)
    app = Application([("/", SocketHandler, {"hub": place.hub, **place.handler})], log_function=lambda handler: None)
    server = HTTPServer(app)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    place.port = sockets[0].getsockname()[1]
    try:
        yield place
    finally:
        server.stop()
        place.hub.close("test over")
        await place.hub.drained(2)
        await server.close_all_connections()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        await asyncio.wait_for(body(), 20)

    asyncio.run(timed())


async def say(ws: Any, type: str, data: Any = None) -> None:
    await ws.send(json.dumps({"type": type, "data": data}))


async def hear(ws: Any, type: str | None = None) -> dict[str, Any]:
    message = json.loads(await ws.recv())
    assert type is None or message["type"] == type, message
    return message


async def ask(ws: Any, type: str, data: Any = None) -> dict[str, Any]:
    await say(ws, type, data)
    return await hear(ws)


@asynccontextmanager
async def client(place: House, **options: Any):
    async with connect(place.url, **options) as ws:
        await hear(ws, "welcome")
        yield ws


async def closed_with(ws: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def raw(place: House, extensions: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    key = base64.b64encode(os.urandom(16)).decode()
    extra = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    writer.write(
        f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Version: 13\r\n{extra}\r\n".encode()
    )
    return reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    size = second
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    return first, await reader.readexactly(size)


def masked(first: int, payload: bytes, size: int | None = None) -> bytes:
    size = len(payload) if size is None else size
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size <= 0xFFFF:
        head = bytes([first, 0x80 | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, 0x80 | 127]) + struct.pack("!Q", size)
    return head + b"\0\0\0\0" + payload


def test_welcome_comes_first():
    async def body() -> None:
        async with house() as place, connect(place.url) as ws:
            message = await hear(ws, "welcome")
            assert set(message) == {"type", "data", "timestamp"} and message["timestamp"] == place.now
            data = message["data"]
            assert data["availableStreams"] == list(place.views) and data["dashboardData"] == {"realTimeMetrics": {}}
            assert (data["heartbeatInterval"], data["updateInterval"], data["version"]) == (30_000, 5_000, "1.0")
            assert [c["clientId"] for c in place.hub.clients()] == [data["clientId"]]
            assert (await ask(ws, "get_dashboard_data"))["type"] == "dashboard_data"

    run(body)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("{", "invalid_format", None),
        ("[]", "invalid_format", None),
        ('{"type":"subscribe","data":{"streams":["\\ud800"]}}', "invalid_format", None),
        ("[" * 60_000, "invalid_format", None),
        (b"{}", "invalid_format", None),
        ("{}", "unknown_type", None),
        ('{"type":"x"}', "unknown_type", None),
        ('{"type":"engine_register"}', "forbidden", None),
        ('{"type":"subscribe"}', "invalid_data", "data"),
        ('{"type":"subscribe","data":{}}', "invalid_data", "data.streams"),
        ('{"type":"subscribe","data":{"streams":["a",1]}}', "invalid_data", "data.streams[1]"),
        ('{"type":"subscribe","data":{"streams":[],"interval":999}}', "invalid_data", "data.interval"),
        ('{"type":"subscribe","data":{"streams":[],"filters":{"x":1}}}', "invalid_data", "data.filters.x"),
        ('{"type":"subscribe","data":{"streams":[],"resume":{"a":{"epoch":"e","seq":-1}}}}', "invalid_data", "data.resume.a.seq"),
        ('{"type":"set_filters","data":{}}', "invalid_data", "data.filters"),
        ('{"type":"heartbeat","data":' + "[" * 30 + "]" * 30 + "}", "invalid_data", "data"),
    ],
)
def test_errors_leave_the_connection_open(text, code, path):
    async def body() -> None:
        async with house() as place, client(place) as ws:
            await ws.send(text)
            data = (await hear(ws, "error"))["data"]
            assert (data["code"], data.get("path")) == (code, path)
            if code == "invalid_format":
                assert data["message"] == "Invalid message format"
            if code == "unknown_type":
                assert data["message"] == "Unknown message type"
            assert (await ask(ws, "heartbeat"))["type"] == "heartbeat_ack"

    run(body)


def test_subscribe_snapshot_live_and_unsubscribe():
    async def body() -> None:
        async with house() as place, client(place) as ws:
            place.views["flow_executions"].rows = [{"executionId": "0", "flowId": "f"}]
            data = (await ask(ws, "subscribe", {"streams": ["flow_executions", "nope"]}))["data"]
            assert data["subscriptions"] == ["flow_executions"] and data["unknown"] == ["nope"]
            assert data["positions"] == {"flow_executions": {"epoch": "e1", "seq": 0, "recovered": False}}
            first = await hear(ws, "stream_update")
            assert first["snapshot"] is True and first["more"] is False and first["data"]["changes"][0]["executionId"] == "0"
            place.hub.offer("flow_executions", [{"executionId": "1"}])
            place.hub.offer("flow_executions", [{"executionId": "2"}])
            live = await hear(ws, "stream_update")
            assert (live["seq"], live["epoch"], live["stream"]) == (1, "e1", "flow_executions") and "snapshot" not in live
            assert [c["executionId"] for c in live["data"]["changes"]] == ["1", "2"]
            ack = await ask(ws, "heartbeat", 1)
            assert ack["data"] == {"timestamp": place.now, "positions": {"flow_executions": {"epoch": "e1", "seq": 1}}}
            stats = place.hub.stats()
            assert stats["connectedClients"] == stats["subscriptions"] == stats["activeStreams"] == 1
            assert (await ask(ws, "unsubscribe", {"streams": ["flow_executions"]}))["data"] == {"subscriptions": []}
            place.changes(9)
            assert (await ask(ws, "heartbeat"))["type"] == "heartbeat_ack"

    run(body)


def test_snapshot_is_paged_and_complete():
    async def body() -> None:
        async with house() as place, client(place) as ws:
            place.views["flow_executions"].rows = [{"executionId": str(n), "pad": "x" * 1000} for n in range(500)]
            await ask(ws, "subscribe", {"streams": ["flow_executions"]})
            got: list[str] = []
            more = True
            while more:
                text = await ws.recv()
                assert len(text) <= 65_536
                page = json.loads(text)
                more = page["more"]
                got += [c["executionId"] for c in page["data"]["changes"]]
            assert got == [str(n) for n in range(500)]

    run(body)


def test_resume_replays_what_was_missed_with_its_type_and_filters():
    async def body() -> None:
        async with house() as place:
            for severity in ("low", "high", "low", "high"):
                place.hub.publish("alert_events", {"id": severity, "severity": severity}, type="alert_triggered")
            place.changes(1)
            async with client(place) as ws:
                resume = {"alert_events": {"epoch": "e1", "seq": 1}, "flow_executions": {"epoch": "e1", "seq": 1}}
                request = {"streams": ["alert_events", "flow_executions"], "filters": {"severity": ["high"]}, "resume": resume}
                positions = (await ask(ws, "subscribe", request))["data"]["positions"]
                assert positions["alert_events"] == {"epoch": "e1", "seq": 4, "recovered": True}
                assert positions["flow_executions"]["recovered"] is True
                messages = [await hear(ws, "alert_triggered") for _ in range(2)]
                assert [m["seq"] for m in messages] == [2, 4]
                assert (await ask(ws, "heartbeat"))["data"]["positions"]["alert_events"]["seq"] == 4

    run(body)


@pytest.mark.parametrize(("epoch", "seq"), [("other", 1), ("e1", 1), ("e1", 99_999)])
def test_resume_over_a_gap_gives_a_snapshot(epoch, seq):
    async def body() -> None:
        async with house() as place:
            place.views["alert_events"].rows = [{"id": "a", "severity": "high"}]
            for _ in range(1_500):
                place.hub.publish("alert_events", {"id": "x", "severity": "low"}, type="alert_triggered")
                place.now += 1_000
            async with client(place) as ws:
                request = {"streams": ["alert_events"], "resume": {"alert_events": {"epoch": epoch, "seq": seq}}}
                data = (await ask(ws, "subscribe", request))["data"]
                assert data["positions"]["alert_events"] == {"epoch": "e1", "seq": 1_500, "recovered": False}
                page = await hear(ws, "stream_update")
                assert page["snapshot"] and page["data"] == {"alerts": [{"id": "a", "severity": "high"}]} and page["seq"] == 1_500

    run(body)


def test_filters_live_and_merged():
    async def body() -> None:
        async with house() as place, client(place) as ws:
            await ask(ws, "subscribe", {"streams": ["flow_executions"], "filters": {"flowId": "pay-*"}})
            await hear(ws)
            place.changes(1, flow="other")
            place.changes(2, flow="pay-a")
            message = await hear(ws)
            assert message["seq"] == 2 and message["data"]["changes"][0]["executionId"] == "2"
            change = {"flowId": None, "flow_executions": {"node": ["n1"]}}
            answer = await ask(ws, "set_filters", {"filters": change})
            assert answer["data"] == {"filters": {"flow_executions": {"node": ["n1"]}}}
            place.changes(3, labels={"node": "n2"})
            place.hub.publish("flow_executions", {"changes": [{"executionId": "4", "labels": {"node": "n1"}}]})
            assert (await hear(ws))["data"]["changes"][0]["executionId"] == "4"

    run(body)


def test_state_streams_keep_the_interval():
    async def body() -> None:
        async with house() as place, client(place) as ws:
            await ask(ws, "subscribe", {"streams": ["performance_metrics"], "interval": 2_000})
            assert (await hear(ws))["data"] == {"cpu": 1}
            for n in range(1, 7):
                place.now += 1_000
                place.hub.publish("performance_metrics", {"cpu": n})
            assert [(await hear(ws))["data"]["cpu"] for _ in range(3)] == [1, 3, 5], "half an interval after the snapshot, then the beat"
            place.now += 100
            place.hub.publish("performance_metrics", {"cpu": 7})
            place.now += 1_900
            place.hub.tick(place.now)
            assert (await hear(ws))["data"]["cpu"] == 7

    run(body)


@pytest.mark.parametrize("phase", range(0, 1_000, 50))
def test_a_state_published_each_second_reaches_all_who_ask_for_it_at_once(phase):
    """Whenever they subscribed, and though the publisher's beat is some 100 ms unsteady."""

    async def body() -> None:
        place = House()
        wire = OpenWire()
        client = Client("c", wire, 100_000, place.hub.filters(), place.now, place.hub.count_slow)
        place.hub.add(client)
        began = place.now
        place.now += phase
        place.hub.subscribe(client, Subscribe(["performance_metrics"], 1_000, {}, {}))
        for n in range(1, 20):
            place.now = began + 1_000 * n + (n * 37) % 100
            wire.written.clear()
            place.hub.publish("performance_metrics", {"cpu": n})
            if n > 1:
                assert b'"cpu":%d}' % n in b"".join(wire.written), f"the {n}th"

    run(body)


def test_a_client_that_stops_reading_is_closed_and_delays_nobody():
    async def body() -> None:
        async with house(client_buffer=65_536) as place, client(place) as ws:
            await ask(ws, "subscribe", {"streams": ["flow_executions"]})
            await hear(ws)
            reader, writer, _ = await raw(place)
            writer.transport.pause_reading()
            writer.write(masked(0x81, b'{"type":"subscribe","data":{"streams":["flow_executions"]}}'))
            while len(place.hub.clients()) < 2 or not place.hub.clients()[1]["subscriptions"]:
                await asyncio.sleep(0)
            n = 0
            while not place.hub.stats()["slowConsumers"]:
                n += 1
                place.changes(n, pad="x" * 20_000)
                assert (await hear(ws))["seq"] == n
                assert all(c["bufferedBytes"] <= 65_536 for c in place.hub.clients())
            writer.transport.resume_reading()
            first = 0
            while first != 0x88:
                first, payload = await read_frame(reader)
            assert payload == struct.pack("!H", 4008) + b"slow consumer"
            writer.close()
            await writer.wait_closed()

    run(body)


def test_a_big_snapshot_does_not_count_against_the_bound():
    async def body() -> None:
        async with house(client_buffer=65_536) as place:
            place.views["flow_executions"].rows = [{"executionId": str(n), "pad": "x" * 10_000} for n in range(2_000)]
            reader, writer, _ = await raw(place)
            writer.transport.pause_reading()
            writer.write(masked(0x81, b'{"type":"subscribe","data":{"streams":["flow_executions"]}}'))
            while not place.hub.clients() or not place.hub.clients()[0]["subscriptions"]:
                await asyncio.sleep(0)
            for n in range(20):
                place.changes(n, pad="x" * 20_000)
            writer.transport.resume_reading()
            seen, last = 0, 0
            while last < 20:
                message = json.loads((await read_frame(reader))[1])
                if message["type"] == "stream_update" and message.get("snapshot"):
                    seen += len(message["data"]["changes"])
                elif message["type"] == "stream_update":
                    assert message["seq"] == last + 1
                    last += 1
            assert seen == 2_000 and place.hub.stats()["slowConsumers"] == 0
            writer.close()
            await writer.wait_closed()

    run(body)


def test_heartbeat_pings_and_ends_silent_clients():
    async def body() -> None:
        async with house(heartbeat_interval=10_000) as place:
            place.hub.tick(place.now)
            async with client(place) as ws:
                reader, writer, _ = await raw(place)
                await read_frame(reader)
                place.now += 10_000
                place.hub.tick(place.now)
                assert (await read_frame(reader))[0] == 0x89
                while place.hub.clients()[0]["lastSeen"] != place.now:
                    await asyncio.sleep(0)
                place.now += 10_000
                place.hub.tick(place.now)
                assert await read_frame(reader) == (0x88, struct.pack("!H", 1001) + b"Heartbeat timeout")
                assert (await ask(ws, "heartbeat"))["type"] == "heartbeat_ack"
                writer.close()
                await writer.wait_closed()

    run(body)


def test_overload_rate_and_going_away():
    async def body() -> None:
        async with house(max_clients=1, message_burst=5) as place, client(place) as ws:
            async with connect(place.url) as second:
                assert await closed_with(second) == (1013, "Server overloaded")
            for _ in range(6):
                await say(ws, "heartbeat")
            for _ in range(5):
                await hear(ws, "heartbeat_ack")
            data = (await hear(ws, "error"))["data"]
            assert data["code"] == "rate_limited" and data["retryAfterMs"] == 20
            for _ in range(20):
                await say(ws, "heartbeat")
            assert (await closed_with(ws))[0] == 4029
        async with house() as place, client(place) as ws:
            place.hub.close("restart")
            data = (await hear(ws, "going_away"))["data"]
            assert data["reason"] == "restart" and 1_000 <= data["reconnectAfterMs"] <= 5_000
            assert (await closed_with(ws))[0] == 1001

    run(body)


BAD = [
    (b"\x81\x02{}", 1002),  # not masked
    (masked(0xC1, b"{}"), 1002),  # RSV1 without compression
    (masked(0xA1, b"{}"), 1002),
    (masked(0x83, b"{}"), 1002),
    (masked(0x80, b"{}"), 1002),
    (masked(0x09, b""), 1002),
    (masked(0x89, b"x" * 126), 1002),
    (masked(0x01, b"{") + masked(0x81, b"{"), 1002),
    (masked(0x88, b"x"), 1002),
    (masked(0x88, struct.pack("!H", 1005)), 1002),
    (masked(0x88, struct.pack("!H", 1000) + b"\xff"), 1007),
    (masked(0x81, b"\xff\xfe"), 1007),
    (masked(0x81, b"", size=65_537), 1009),
    (masked(0x01, b"x" * 40_000) + masked(0x80, b"x" * 40_000), 1009),
]


@pytest.mark.parametrize(("wire", "code"), BAD)
def test_broken_frames_get_their_code(wire, code, caplog):
    async def body() -> None:
        async with house() as place:
            reader, writer, _ = await raw(place)
            await read_frame(reader)
            writer.write(wire + b"left unread" * 1000)
            first, payload = await read_frame(reader)
            assert (first, struct.unpack("!H", payload[:2])[0]) == (0x88, code)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(body)
    assert not caplog.records


def test_undecodable_deflate_and_bombs():
    from qflowd.hub.frames import deflate

    async def body() -> None:
        async with house() as place:
            for payload, code in ((b"\xff\xff\xff\xff", 1007), (deflate(b" " * 1_000_000), 1009)):
                reader, writer, head = await raw(place, "permessage-deflate")
                assert "permessage-deflate" in head
                await read_frame(reader)
                writer.write(masked(0xC1, payload))
                first, answer = await read_frame(reader)
                assert (first, struct.unpack("!H", answer[:2])[0]) == (0x88, code)
                writer.close()
                await writer.wait_closed()

    run(body)


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        ("", None),
        ("x-webkit", None),
        ("permessage-deflate", {}),
        ("permessage-deflate; client_max_window_bits", {}),
        ('permessage-deflate; server_max_window_bits="12"', {"server_max_window_bits": "10"}),
        ("permessage-deflate; server_max_window_bits=9", None),
        ("permessage-deflate; server_max_window_bits=99", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; what=1", None),
        ("permessage-deflate; client_max_window_bits=15; client_max_window_bits=15", None),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", {}),
    ],
)
def test_offers_of_compression(offer, agreed):
    both = {"server_no_context_takeover": None, "client_no_context_takeover": None}
    assert negotiate(offer) == (None if agreed is None else both | agreed)


def test_compression_works_with_other_peoples_clients_and_can_be_off():
    async def body() -> None:
        async with house() as place:
            reader, writer, head = await raw(place, "permessage-deflate; server_max_window_bits=999")
            assert head.startswith("HTTP/1.1 101") and "permessage" not in head
            writer.close()
            await writer.wait_closed()
            other = await websocket.websocket_connect(place.url, compression_options={})
            assert json.loads(await other.read_message())["type"] == "welcome"
            await other.write_message('{"type":"heartbeat","data":"' + "x" * 500 + '"}')
            assert json.loads(await other.read_message())["type"] == "heartbeat_ack"
            assert place.hub.clients()[-1]["compression"] is True
            other.close()
            await other.read_message()
        async with house(compression=False) as place, client(place):
            assert place.hub.clients()[0]["compression"] is False

    run(body)


def test_login_and_origin():
    async def body() -> None:
        users = {"good": ("ann", ["viewer"])}
        async with house(authenticate=users.get) as place:
            async with connect(place.url) as ws:
                assert (await ask(ws, "subscribe", {"streams": []}))["data"]["code"] == "unauthenticated"
                assert (await ask(ws, "authenticate", {"token": "good"}))["data"] == {"subject": "ann", "roles": ["viewer"]}
                await hear(ws, "welcome")
            async with connect(place.url) as ws:
                assert (await ask(ws, "authenticate", {"token": "bad"}))["data"]["code"] == "unauthenticated"
                assert (await closed_with(ws))[0] == 4001
        async with house(authenticate=users.get, login_timeout=1) as place, connect(place.url) as ws:
            assert (await closed_with(ws))[0] == 4001
        async with house(check_origin=lambda origin, host: origin == "http://ok") as place:
            async with client(place, origin="http://ok") as ws:
                assert (await ask(ws, "authenticate", {"token": "x"}))["data"]["subject"] == "anonymous"
            with pytest.raises(InvalidStatus) as refused:
                await connect(place.url, origin=f"http://127.0.0.1:{place.port}")
            assert refused.value.response.status_code == 403

    run(body)


def test_tornados_inner_parts_are_where_we_use_them():
    for name in tornado_protocol.INNER:
        assert callable(getattr(websocket.WebSocketProtocol13, name)), name
    params = websocket._WebSocketParams(max_message_size=5, compression_options=None)
    bare = websocket.WebSocketProtocol13(None, False, params)  # type: ignore[arg-type]
    for name in ("_compression_options", "client_terminated", "server_terminated", "close_code", "close_reason"):
        assert hasattr(bare, name), name
    assert bare.params.max_message_size == 5


def test_filter_shapes():
    filters = Filters({"s": ("flowId", "status"), "t": ("level",)})
    filters.merge({"flowId": ["a", "b?"], "s": {"status": "x"}})
    assert filters.of("s").passes({"flowId": "bc", "status": "x"}) and not filters.of("s").passes({"status": "x"})
    assert filters.of("t").passes({})
    for wrong in ({"s": {"level": 1}}, {"flowId": {}}, {"s": 1}, {"flowId": ["x"] * 101}):
        with pytest.raises(FilterError):
            filters.merge(wrong)
    assert filters.shown == {"flowId": ["a", "b?"], "s": {"status": "x"}}


def test_bucket_refills_and_gives_up():
    bucket = Bucket(10, 2, 0)
    assert [bucket.take(0) for _ in range(3)] == [0, 0, 100]
    assert bucket.take(1_000) == 0
    assert [bucket.take(1_000) for _ in range(7)][-1] is None


class StuckWire:
    """A socket whose kernel buffer is full until ``drain``."""

    deflate = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting: asyncio.Future[None] | None = None
        self.closed: tuple[int | None, str | None] | None = None

    def direct(self) -> None:
        return None

    def lost(self, error: OSError) -> None:
        raise error

    def send(self, wire: bytes) -> asyncio.Future[None]:
        assert self.waiting is None or self.waiting.done(), "written to while the last write is not flushed"
        self.written.append(wire)
        self.waiting = asyncio.get_running_loop().create_future()
        return self.waiting

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.closed = (None, None)


def stuck_client(place: House) -> tuple[Client, StuckWire]:
    wire = StuckWire()
    client = Client("c", wire, 100_000, place.hub.filters(), place.now, place.hub.count_slow)
    place.hub.add(client)
    return client, wire


def test_states_are_conflated_for_a_slow_client():
    async def body() -> None:
        place = House()
        client, wire = stuck_client(place)
        place.hub.subscribe(client, Subscribe(["performance_metrics"], 1_000, {}, {}))
        for n in range(5):
            place.now += 1_000
            place.hub.publish("performance_metrics", {"cpu": n})
        sent = len(wire.written)
        assert wire.waiting is not None and client.blocked_at is not None
        client.blocked_at -= 3
        place.hub.tick(place.now)
        assert place.hub.stats()["behind"] == 1 and place.hub.stats()["queueBytes"] > 0 and place.hub.clients()[0]["behindMs"] >= 3_000
        wire.waiting.set_result(None)
        await asyncio.sleep(0)
        later = b"".join(wire.written[sent:])
        assert b'"cpu":4' in later and b'"cpu":2' not in later and wire.closed is None

    run(body)


def test_a_reader_that_falls_out_of_the_history_learns_of_the_gap():
    async def body() -> None:
        place = House()
        client, wire = stuck_client(place)
        place.hub.subscribe(client, Subscribe(["flow_executions"], None, {}, {}))
        for n in range(1_200):
            place.now += 600_000
            place.changes(n)
        assert wire.closed is None and wire.waiting is not None
        wire.waiting.set_result(None)
        await asyncio.sleep(0)
        assert wire.closed == (4008, "slow consumer")

    run(body)


class OpenWire:
    """A socket that takes everything at once."""

    deflate = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def direct(self) -> Callable[[bytes], int]:
        return lambda wire: self.written.append(wire) or len(wire)

    def send(self, wire: bytes) -> asyncio.Future[None]:
        raise AssertionError("nothing waits")

    def lost(self, error: OSError) -> None:
        raise error

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        pass

    abort = close


def test_a_sweep_in_slices_gives_everyone_each_message_once_and_in_order():
    async def body() -> None:
        place = House()
        place.hub._slices._seconds = 0.0
        wires = [OpenWire() for _ in range(100)]
        clients = [Client(str(n), wire, 100_000, place.hub.filters(), 0, place.hub.count_slow) for n, wire in enumerate(wires)]
        for one in clients:
            place.hub.add(one)
            place.hub.subscribe(one, Subscribe(["flow_executions"], None, {}, {}))
        started = [len(wire.written) for wire in wires]
        place.changes(1)
        place.changes(2)
        # Not all have it: a position must not promise what was not written.
        assert place.hub.positions(clients[0])["flow_executions"]["seq"] == 1
        assert place.hub.positions(clients[99])["flow_executions"]["seq"] == 0
        late = OpenWire()
        joined = Client("late", late, 100_000, place.hub.filters(), 0, place.hub.count_slow)
        place.hub.add(joined)
        place.hub.subscribe(joined, Subscribe(["flow_executions"], None, {}, {"flow_executions": ("e1", 0)}))
        while place.hub._slices.busy:
            await asyncio.sleep(0)
        for wire, before in [*zip(wires, started, strict=True), (late, 1)]:
            assert [json.loads(one[one.index(b"{"):])["seq"] for one in wire.written[before:] for one in split(one)] == [1, 2]

    run(body)


def test_a_sweep_that_fails_does_not_hold_positions_back_for_ever(monkeypatch):
    async def body() -> None:
        place = House()
        client = Client("c", OpenWire(), 100_000, place.hub.filters(), place.now, place.hub.count_slow)
        place.hub.add(client)
        place.hub.subscribe(client, Subscribe(["flow_executions"], None, {}, {}))
        with monkeypatch.context() as broken:
            broken.setattr(place.hub, "_frame", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                place.changes(1)
        place.changes(2)
        assert place.hub.streams["flow_executions"].sweeps == 0

    run(body)


def split(wire: bytes) -> list[bytes]:
    """The frames (of less than 64 KiB, not masked) in ``wire``."""
    found = []
    while wire:
        size, head = wire[1], 2
        if size == 126:
            size, head = struct.unpack("!H", wire[2:4])[0], 4
        found.append(wire[: head + size])
        wire = wire[head + size :]
    return found


def test_equal_filters_share_what_is_made_for_the_past_too():
    async def body() -> None:
        place = House()
        stream = place.hub.streams["flow_executions"]
        place.views["flow_executions"].rows = [{"executionId": "1", "flowId": "f"}]
        place.changes(1)
        one, two = Filters({"flow_executions": tuple(FLOW_FIELDS)}), Filters({"flow_executions": tuple(FLOW_FIELDS)})
        for filters in (one, two):
            filters.merge({"flowId": "f"})
        a, b = one.of("flow_executions"), two.of("flow_executions")
        message = stream.history[-1]
        assert stream.frame(message, a) is stream.frame(message, b)
        assert [*stream.pages(a, place.now)] == [*stream.pages(b, place.now)] and next(stream.pages(a, place.now)) is next(stream.pages(b, place.now))

    run(body)
