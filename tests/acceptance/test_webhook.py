"""Webhooks to a real server: signed, tried by the matrix, each with its key."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.daemon import PORTS, Daemon, event, until
from tests.sink import OK, Answer, Received, Sink

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CONFIG = """
alerts:
  hold_after_start: 0s
  rules:
    - {{id: stuck, name: Stuck, condition: 'module_depth{{module="m"}} > 5', channels: [ops], severity: high, cooldown: 0s}}
channels:
  ops: {{type: webhook, url: "{url}", secret_file: secret, allow_private: true, timeout: 1s{more}}}
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.close()


def begin(start: Callable[..., Daemon], tmp_path: Path, sink: Sink, more: str = "") -> Daemon:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return start(PORTS + CONFIG.format(url=sink.url, more=more))


def depth(daemon: Daemon, value: float) -> None:
    """Let the module report ``value``: above 5 the alert fires."""
    answer = daemon.send([event("module.metrics", os.urandom(8).hex(), {"module": "m", "metrics": {"depth": value}})])
    assert answer.json["accepted"] == 1, answer.body


def status(daemon: Daemon, status: str) -> list[dict]:
    return [one for one in daemon.get(f"/api/v1/notifications?channel=ops&status={status}")["items"]]


def test_firing_and_resolved_arrive_signed(start, tmp_path, sink) -> None:
    daemon = begin(start, tmp_path, sink)
    depth(daemon, 9)
    until(lambda: sink.received)
    depth(daemon, 1)
    until(lambda: len(sink.received) == 2)
    for request, kind in zip(sink.received, ("firing", "resolved"), strict=True):
        body = Webhook(SECRET).verify(request.body.decode(), dict(request.headers))
        assert body["type"] == f"alert.{kind}"
        (alert,) = body["data"]["alerts"]
        assert (alert["ruleId"], alert["name"], alert["severity"], alert["status"]) == ("stuck", "Stuck", "high", kind)
        assert alert["labels"]["module"] == "m" and alert["startsAt"].endswith("Z")
        assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    assert len(set(sink.keys)) == 2
    sent = until(lambda: len(found := status(daemon, "sent")) == 2 and found)
    assert [one["id"] for one in sent] == sink.keys[::-1]
    assert sent[0]["attempts"] == 1 and sent[0]["detail"] == "HTTP 204"


@pytest.mark.parametrize(
    ("answers", "attempts", "end", "detail"),
    [
        ([(500, {}, b"sorry")], 2, "sent", "HTTP 204"),
        (["hang"], 2, "sent", "HTTP 204"),
        (["break"], 2, "sent", "HTTP 204"),
        ([(404, {}, b"no such hook")], 1, "dead", "HTTP 404: no such hook"),
        ([(302, {"Location": "http://elsewhere/"}, b"")], 1, "dead", "HTTP 302: redirects are not followed; set the address that it leads to"),
    ],
    ids=["500", "hang", "break", "404", "302"],
)
def test_the_matrix(start, tmp_path, sink, answers: list[Answer | str], attempts: int, end: str, detail: str) -> None:
    waiting = list(answers)

    def answer(request: Received) -> Answer | str:
        return waiting.pop(0) if waiting else OK

    sink.answer = answer
    daemon = begin(start, tmp_path, sink)
    depth(daemon, 9)
    (found,) = until(lambda: status(daemon, end))
    assert (found["attempts"], found["detail"]) == (attempts, detail)
    assert sink.keys == [found["id"]] * attempts


def test_retry_after_is_honoured(start, tmp_path, sink) -> None:
    answers: list[Answer] = [(429, {"Retry-After": "3"}, b"")]
    sink.answer = lambda request: answers.pop(0) if answers else OK
    daemon = begin(start, tmp_path, sink)
    depth(daemon, 9)
    until(lambda: status(daemon, "sent"))
    first, second = sink.received
    assert 3 <= second.at - first.at < 6


def test_410_disables_the_channel_until_its_configuration_changes(start, tmp_path, sink) -> None:
    sink.answer = lambda request: (410, {}, b"gone")
    daemon = begin(start, tmp_path, sink)
    depth(daemon, 9)
    until(lambda: len(status(daemon, "dead")) == 1)
    depth(daemon, 1)
    until(lambda: len(status(daemon, "dead")) == 2)
    assert len(sink.received) == 1
    assert status(daemon, "dead")[0]["detail"] == "the channel is disabled: HTTP 410: gone"
    daemon.kill()
    daemon.start()
    depth(daemon, 9)
    until(lambda: len(status(daemon, "dead")) == 3)
    assert len(sink.received) == 1
    sink.answer = lambda request: OK
    daemon.file.write_text(daemon.file.read_text().replace("timeout: 1s", "timeout: 2s"))
    assert daemon.request("POST", "/api/v1/config/reload", {}).status == 200
    depth(daemon, 1)
    until(lambda: status(daemon, "sent"))
    assert json.loads(sink.received[-1].body)["type"] == "alert.resolved"
