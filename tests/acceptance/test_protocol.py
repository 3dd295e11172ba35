"""A client that is wrong in every way gets the error that the protocol names, and stays connected."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.daemon import PORTS, Daemon, event, until


class Client:
    """A WebSocket client that remembers what it received."""

    def __init__(self, daemon: Daemon, path: str = "") -> None:
        address = daemon.addresses["http"] if path else daemon.addresses["websocket"]
        self._stack = ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(connect(f"ws://{address}/{path}"))
        self.messages: list[dict[str, Any]] = []
        self.welcome = self.next("welcome")

    def close(self) -> None:
        self._stack.close()

    def send(self, kind: str, data: Any = None, **more: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **({} if data is None else {"data": data}), **more}))

    def next(self, kind: str, seconds: float = 10, **match: Any) -> dict[str, Any]:
        """The next message of this type, with these keys."""
        deadline = time.monotonic() + seconds
        while True:
            message = json.loads(self.socket.recv(timeout=max(0.01, deadline - time.monotonic())))
            self.messages.append(message)
            if message["type"] == kind and all(message.get(key) == value for key, value in match.items()):
                return message


@pytest.fixture(params=["", "ws"])
def client(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Client]:
    found = Client(daemon, request.param)
    yield found
    found.close()


def test_welcome_tells_what_there_is(client: Client) -> None:
    data = client.welcome["data"]
    assert {"clientId", "availableStreams", "dashboardData", "heartbeatInterval", "updateInterval", "version"} <= data.keys()
    assert {"performance_metrics", "flow_executions", "alert_events", "scaling_status", "ecosystem_correlation"} <= set(data["availableStreams"])
    assert {"realTimeMetrics", "performance", "scaling", "optimization", "ecosystem"} <= data["dashboardData"].keys()


def test_wrong_messages_get_their_error_and_the_connection_stays(client: Client) -> None:
    for raw in ("nonsense", "[1]", '"text"', "null", ""):
        client.socket.send(raw)
        assert client.next("error")["data"] == {"code": "invalid_format", "message": "Invalid message format"}
    client.send("dance")
    assert client.next("error")["data"] == {"code": "unknown_type", "message": "Unknown message type"}
    for kind, data, path in [
        ("subscribe", {"streams": "all"}, "data.streams"),
        ("subscribe", {"streams": ["event_log"], "interval": "soon"}, "data.interval"),
        ("subscribe", {"streams": ["event_log"], "filters": {"flowId": {"a": 1}}}, "data.filters"),
        ("subscribe", {"streams": ["event_log"], "resume": {"event_log": {"seq": "x"}}}, "data.resume"),
        ("unsubscribe", {}, "data.streams"),
        ("set_filters", {"filters": 5}, "data.filters"),
    ]:
        client.send(kind, data)
        error = client.next("error")["data"]
        assert error["code"] == "invalid_data" and error["path"].startswith(path), error
    client.send("engine_register", {"engine": "x"})
    assert client.next("error")["data"]["code"] == "forbidden"
    client.send("heartbeat", {"any": "thing"})
    assert "positions" in client.next("heartbeat_ack")["data"]
    client.send("subscribe", {"streams": ["event_log", "nothing"]})
    confirmed = client.next("subscription_confirmed")["data"]
    assert confirmed["unknown"] == ["nothing"] and confirmed["subscriptions"] == ["event_log"]
    client.send("get_dashboard_data")
    assert client.next("dashboard_data")["data"]["systemHealth"]
    client.send("unsubscribe", {"streams": ["event_log"]})
    assert client.next("unsubscription_confirmed")["data"]["subscriptions"] == []


def test_filters_and_resume(daemon: Daemon) -> None:
    client = Client(daemon)
    client.send("subscribe", {"streams": ["flow_executions"], "filters": {"flowId": "pay-*"}})
    client.next("subscription_confirmed")
    daemon.send([event("exec.started", n, {"executionId": f"r{n}", "flowId": ("pay-a", "other")[n % 2]}) for n in range(4)])
    first = client.next("stream_update", stream="flow_executions", snapshot=None)
    assert {one["flowId"] for one in first["data"]["changes"]} == {"pay-a"}
    client.close()
    daemon.send([event("exec.completed", "e0", {"executionId": "r0", "status": "completed"})])
    until(lambda: daemon.get("/api/v1/executions/r0")["status"] == "completed")
    again = Client(daemon)
    position = {"epoch": first["epoch"], "seq": first["seq"]}
    # The hub batches for 50 ms: a heartbeat that shows a later position says that the missed message is in the history.
    again.send("subscribe", {"streams": ["flow_executions"], "filters": {"flowId": "pay-*"}, "resume": {"flow_executions": position}})
    assert again.next("subscription_confirmed")["data"]["positions"]["flow_executions"]["recovered"] is True
    missed = again.next("stream_update", stream="flow_executions")
    assert [one["executionId"] for one in missed["data"]["changes"]] == ["r0"] and "snapshot" not in missed
    again.send("subscribe", {"streams": ["flow_executions"], "resume": {"flow_executions": {"epoch": "other", "seq": 1}}})
    assert again.next("subscription_confirmed")["data"]["positions"]["flow_executions"]["recovered"] is False
    assert again.next("stream_update", stream="flow_executions")["snapshot"] is True
    again.close()


def test_the_client_over_max_clients_is_closed_with_1013(start: Any) -> None:
    daemon = start(PORTS.replace("websocket: {", "websocket: {max_clients: 1, "))
    first = Client(daemon)
    with pytest.raises(ConnectionClosed) as closed, connect(f"ws://{daemon.addresses['websocket']}/") as second:
        second.recv(timeout=5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
    first.send("heartbeat")
    first.next("heartbeat_ack")
    first.close()


def test_shutdown_says_good_bye(daemon: Daemon) -> None:
    client = Client(daemon)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 5
    assert client.next("going_away")["data"]["reconnectAfterMs"] > 0
    with pytest.raises(ConnectionClosed) as closed:
        client.socket.recv(timeout=5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    client.close()


def test_requests_on_open_connections_are_answered_while_the_daemon_stops(daemon: Daemon) -> None:
    host, port = daemon.addresses["http"].rsplit(":", 1)
    asked: list[list[int]] = [[] for _ in range(4)]

    def ask(statuses: list[int]) -> None:
        connection = HTTPConnection(host, int(port), timeout=10)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError, HTTPException):
            while True:
                connection.request("GET", "/api/v1/dashboard/stats")
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)

    clients = [Client(daemon) for _ in range(5)]  # their good-byes take the daemon a while
    threads = [threading.Thread(target=ask, args=(statuses,)) for statuses in asked]
    for thread in threads:
        thread.start()
    until(lambda: all(asked))
    assert daemon.stop() == 0
    for thread in threads:
        thread.join(10)
    assert {status for statuses in asked for status in statuses} <= {200, 503}
    for client in clients:
        client.close()


def test_a_foreign_origin_is_refused(daemon: Daemon) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus):
        with connect(f"ws://{daemon.addresses['websocket']}/", origin="http://evil.example"):  # type: ignore[arg-type]
            pass
