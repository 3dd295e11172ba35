from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from qflowd.sources.cloudevents import MalformedBody, translate

NOW = 1_795_500_000_000


def event(**changes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/t", "type": "q.qflow.exec.started.v1", "time": "2026-11-24T06:00:00.5Z",
            "data": {"executionId": "x", "flowId": "f", "extra": [1]}, **changes}


def one(body: Any, media: str = "application/cloudevents+json", **headers: str):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return translate(raw, media, {k.replace("_", "-"): v for k, v in headers.items()}, NOW)


def test_structured_keeps_unknown_fields_and_milliseconds():
    got = one(event()).events[0]
    assert (got.source, got.id, got.time) == ("/t", "1", 1795500000500)
    assert got.data == {"executionId": "x", "flowId": "f", "extra": [1]}


def test_batch_rejects_only_the_broken_element():
    got = one([event(), event(id="2", data={"executionId": 5}), 7, event(id="3")], "application/cloudevents-batch+json")
    assert [e.id for e in got.events] == ["1", "3"] and got.total == 4
    assert [r.index for r in got.rejected] == [1, 2]
    assert [p.path for p in got.rejected[0].errors] == ["data.executionId", "data.flowId"]


def test_ndjson_mixes_envelopes_and_broken_lines():
    envelope = {"eventId": "e", "timestamp": "2026-11-24T06:00:00Z", "version": "1", "source": "q", "actor": "me",
                "type": "q.qflow.exec.progress.v1", "data": {"executionId": "x", "progress": 1}}
    body = b"\r\n".join([json.dumps(event()).encode(), b"{broken", b"", json.dumps(envelope).encode()])
    got = one(body, "application/x-ndjson; charset=utf-8")
    assert [e.id for e in got.events] == ["1", "e"] and got.events[1].data["actor"] == "me"
    assert got.rejected[0].index == 1 and got.total == 3


def test_binary_percent_decoding():
    got = one(b'{"executionId":"x","flowId":"f"}', "application/json", ce_specversion="1.0", ce_id="a%20b", ce_source="/%C3%A9",
              ce_type="q.qflow.exec.started.v1").events[0]
    assert (got.id, got.source, got.time) == ("a b", "/é", NOW)
    text = one(b"hello", "text/plain", ce_specversion="1.0", ce_id="1", ce_source="s", ce_type="t")
    assert text.events[0].data == {"value": "hello"}


def test_plain_json_list_and_base64():
    held = base64.b64encode(b'{"executionId":"x","flowId":"f"}').decode()
    coded = {k: v for k, v in event(data_base64=held).items() if k != "data"}
    assert [e.data["flowId"] for e in one([event(), coded], "application/json").events] == ["f", "f"]
    assert one({**coded, "data_base64": "!"}).rejected[0].errors[0].path == "data_base64"
    assert one(event(data_base64=held)).rejected


@pytest.mark.parametrize(("changes", "path"), [
    ({"specversion": "0.3"}, "specversion"), ({"id": ""}, "id"), ({"id": "x" * 1025}, "id"), ({"source": None}, "source"),
    ({"time": "2026-11-26T06:00:00Z"}, "time"), ({"time": "yesterday"}, "time"), ({"time": "2026-11-24T06:00:00"}, "time"),
    ({"data": None}, "data"), ({"data": []}, "data"),
    ({"data": {"executionId": "x", "flowId": "f", "labels": {"a": []}}}, "data.labels"),
    ({"type": "q.qflow.exec.completed.v1", "data": {"executionId": "x", "status": "done"}}, "data.status"),
    ({"type": "q.qflow.exec.progress.v1", "data": {"executionId": "x", "progress": 2}}, "data.progress"),
    ({"type": "q.qflow.exec.step.completed.v1", "data": {"executionId": "x", "stepId": "s", "status": "success",
      "executionMetrics": {"durationMs": "1"}}}, "data.executionMetrics.durationMs"),
    ({"type": "q.qflow.validation.pipeline.executed.v1", "data": {"validationId": "v", "operationType": "t", "operationId": "o",
      "pipelineResult": {"qlock": {"valid": True}}}}, "data.pipelineResult.overall"),
    ({"type": "q.qflow.module.metrics.v1", "data": {"module": "m", "metrics": {"a": "1"}}}, "data.metrics"),
])
def test_mistakes_name_the_path(changes: dict[str, Any], path: str):
    got = one(event(**changes))
    assert not got.events
    assert got.rejected[0].errors[0].path.startswith(path)


def test_unknown_types_and_missing_time():
    got = one({"specversion": "1.0", "id": "1", "source": "s", "type": "com.example", "data": [1]}).events[0]
    assert got.time == NOW and got.data == {"value": [1]}


def test_choices_are_told():
    got = one(event(type="q.qflow.exec.completed.v1", data={"executionId": "x", "status": "done"}))
    assert got.rejected[0].errors[0].message == 'must be one of completed, failed, aborted, timeout; got "done"'


def test_depth_is_bounded_but_brackets_in_text_are_fine():
    deep = event(type="x")
    for _ in range(70):
        deep["data"] = {"a": deep["data"]}
    assert "deeper" in one(deep).rejected[0].errors[0].message
    assert one(event(type="x", data={"a": "[" * 500, "b": [[]] * 100})).events


@pytest.mark.parametrize(("body", "media"), [
    (b"nonsense", "application/json"), (b"", "application/json"), (b"", "application/x-ndjson"), (b"{}", "image/png"),
    (b"{}", "application/cloudevents-batch+json"), (b"[" * 100_000, "application/json"), (b'{"a":"\xff"', "application/json")])
def test_bodies_that_are_no_events(body: bytes, media: str):
    with pytest.raises(MalformedBody):
        one(body, media)
