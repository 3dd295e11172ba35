"""Flows in: exec, the HTTP API, and what the streams say of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.daemon import Daemon, event, until


def test_exec_is_seen_running_within_a_second_and_completed_after(daemon: Daemon) -> None:
    command = [sys.executable, "-m", "qflowd", "exec", "--url", f"http://{daemon.addresses['http']}", "--flow", "hello", "--", "sleep", "2"]
    with connect(f"ws://{daemon.addresses['websocket']}/") as client:
        client.send(json.dumps({"type": "subscribe", "data": {"streams": ["flow_executions"]}}))
        runner = subprocess.Popen(command)
        statuses: list[str] = []
        deadline = time.monotonic() + 15
        while "completed" not in statuses and time.monotonic() < deadline:
            message = json.loads(client.recv(timeout=10))
            if message["type"] == "stream_update":
                for change in message["data"]["changes"]:
                    assert change["flowId"] == "hello"
                    if change["status"] not in statuses:
                        statuses.append(change["status"])
                        if change["status"] == "running":
                            assert time.time() * 1000 - change["startTime"] < 1000
        assert runner.wait() == 0
    assert statuses == ["running", "completed"]
    found = daemon.get("/api/v1/executions?flow=hello")["items"]
    assert len(found) == 1 and found[0]["durationMs"] >= 2000


def test_all_modes_of_the_events_door(daemon: Daemon) -> None:
    started = event("exec.started", 1, {"executionId": "a", "flowId": "f"})

    def post(body: Any, kind: str, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = daemon.request("POST", "/api/v1/events", raw, {"Content-Type": kind, **headers})
        assert answer.status == 200, answer.body
        return answer.json["accepted"], answer.json["duplicates"], len(answer.json["rejected"])

    assert post(started, "application/cloudevents+json") == (1, 0, 0)
    assert post(started, "application/cloudevents+json") == (0, 1, 0)
    assert post([event("exec.started", 2, {"executionId": "b", "flowId": "f"}), {}], "application/cloudevents-batch+json") == (1, 0, 1)
    binary = {"ce-specversion": "1.0", "ce-id": "3", "ce-source": "/b", "ce-type": "q.qflow.exec.paused.v1"}
    assert post({"executionId": "a"}, "application/json", **binary) == (1, 0, 0)
    lines = gzip.compress(b"\n".join(json.dumps(event("exec.resumed", 4 + n, {"executionId": "a"})).encode() for n in range(3)))
    assert post(lines, "application/x-ndjson", **{"Content-Encoding": "gzip"}) == (3, 0, 0)
    envelope = {
        "eventId": "9", "timestamp": "2026-01-01T00:00:00Z", "version": "1", "source": "qflow", "actor": "did:squid:x",
        "type": "q.qflow.exec.started.v1", "data": {"executionId": "c", "flowId": "g"},
    }
    assert post(envelope, "application/json") == (1, 0, 0)
    assert {one["executionId"] for one in daemon.get("/api/v1/executions")["items"]} == {"a", "b", "c"}


def test_refusals_say_what_and_where(daemon: Daemon) -> None:
    wrong = daemon.send([event("exec.started", 1, {"flowId": "f"})])
    assert wrong.status == 400 and wrong.headers["Content-Type"] == "application/problem+json"
    assert "data.executionId" in wrong.json["rejected"][0]["errors"][0]["path"]
    assert daemon.request("POST", "/api/v1/events", b"{nonsense", {"Content-Type": "application/json"}).status == 400
    many = [event("exec.progress", f"m{n}", {"executionId": f"m{n % 40}", "progress": 0.5}) for n in range(20_000)]
    assert daemon.send(many).json == {"accepted": 20_000, "duplicates": 0, "rejected": []}
    bomb = gzip.compress(b" " * (9 << 20))
    large = daemon.request("POST", "/api/v1/events", bomb, {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"})
    assert large.status == 413
    assert daemon.request("POST", "/api/v1/dashboard/alerts", {"name": "x", "condition": "histogram_quantile(1, up)"}).status == 400
    refused = daemon.request("POST", "/api/v1/dashboard/alerts", {"name": "x", "condition": "up >", "color": 1})
    assert refused.status == 400 and {one["path"] for one in refused.json["errors"]} >= {"condition", "color"}, refused.json
    assert daemon.request("GET", "/nowhere").status == 404
    assert daemon.request("GET", "/api/v1/executions?limit=many").status == 400
    assert daemon.request("GET", "/healthz", headers={"Host": "evil.example"}).status == 421
    assert daemon.request("POST", "/api/v1/config/reload", {}, {"Origin": "http://evil.example"}).status == 403


def test_counters_executions_and_series_go_on_after_a_restart(daemon: Daemon) -> None:
    daemon.send([event("exec.started", 1, {"executionId": "a", "flowId": "f"}), event("exec.started", 2, {"executionId": "b", "flowId": "f"})])
    daemon.send([event("exec.completed", 3, {"executionId": "b", "status": "failed"})])
    rule = daemon.request("POST", "/api/v1/dashboard/alerts", {"name": "Mine", "condition": "load1 > 1000"})
    assert rule.status == 201 and rule.headers["Location"] == "/api/v1/dashboard/alerts/mine"
    until(lambda: daemon.get("/api/v1/query?query=cpu_utilization")["data"]["result"])
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.metric('qflowd_events_total{outcome="accepted"}') == 3
    assert {one["executionId"]: one["status"] for one in daemon.get("/api/v1/executions")["items"]} == {"a": "running", "b": "failed"}
    assert "mine" in daemon.rules()
    texts = [line["text"] for line in daemon.get("/api/v1/event-log?level=error")["items"]]
    assert len(texts) == 1 and "f" in texts[0], texts
    now = time.time()
    found = daemon.get(f"/api/v1/query_range?query=cpu_utilization&start={now - 60}&end={now}&step=1")
    assert found["data"]["result"], "the rings are full again"


def test_every_documented_operation_answers_without_a_500(daemon: Daemon) -> None:
    document = daemon.get("/api/v1/openapi.json")
    assert len(document["paths"]) > 20
    for path, entry in document["paths"].items():
        for method in entry.keys() & {"get", "post", "put", "delete"}:
            concrete = path.replace("{id}", "nothing").replace("{verb}", "ack")
            answer = daemon.request(method.upper(), concrete, {} if method in ("post", "put") else None)
            assert answer.status < 500 and answer.status != 405, (method, path, answer.body)
            if answer.status >= 400 and "query" not in path:
                assert answer.headers["Content-Type"] == "application/problem+json", (path, answer.body)


def test_tokens_open_what_their_role_allows(start: Any) -> None:
    from tests.daemon import PORTS

    daemon = start(PORTS + "auth: {mode: tokens}\n")
    assert daemon.request("GET", "/api/v1/flows").status == 401
    assert daemon.request("GET", "/healthz").status == 200
    made = subprocess.run(
        [sys.executable, "-m", "qflowd", "token", "create", "ci", "--role", "source", "--state", str(daemon.state)],
        capture_output=True, text=True, check=True,
    )
    bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
    assert daemon.request("GET", "/api/v1/flows", headers=bearer).status == 403
    assert daemon.request("POST", "/api/v1/events", event("exec.started", 1, {"executionId": "a", "flowId": "f"}), bearer).status == 200
    assert made.stdout.strip() not in daemon.log.read_text()
    with connect(f"ws://{daemon.addresses['websocket']}/", additional_headers=bearer) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4003
    with connect(f"ws://{daemon.addresses['websocket']}/") as client:
        client.send(json.dumps({"type": "subscribe", "data": {"streams": ["event_log"]}}))
        assert json.loads(client.recv(timeout=5))["data"]["code"] == "unauthenticated"
        client.send(json.dumps({"type": "authenticate", "data": {"token": "qfd_wrong"}}))
        assert json.loads(client.recv(timeout=5))["data"]["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4001
