"""The rules that hold for every handler, and the metrics' text."""

from __future__ import annotations

import pytest

from qflowd.daemon.exposition import render
from qflowd.handlers.base import Handler, ProblemError, iso, rest
from qflowd.handlers.documents import openapi
from qflowd.handlers.executions import decode_cursor, encode_cursor
from qflowd.handlers.routes import API, METHODS, register, routes
from qflowd.security.roles import ROLES


def test_a_handler_without_a_role_cannot_be_registered() -> None:
    class Careless(Handler):
        roles = {"GET": "viewer"}

        def get(self) -> None: ...

        def post(self) -> None: ...

    class Misspelt(Handler):
        roles = {"GET": "veiwer"}

        def get(self) -> None: ...

    for wrong in (Careless, Misspelt):
        with pytest.raises(TypeError, match="declares no role"):
            register(wrong)
    assert len(routes()) == len(API)


def test_what_changes_something_is_open_to_nobody() -> None:
    for pattern, handler in API:
        for method in METHODS[1:]:
            role = handler.roles.get(method.upper())
            if role is not None:
                assert role in ROLES, pattern


def test_the_document_names_every_route_and_its_role() -> None:
    paths = openapi()["paths"]
    assert len(paths) == len(API)
    assert paths["/api/v1/executions/{id}"]["get"]["x-role"] == "viewer"
    assert [one["name"] for one in paths["/api/v1/alerts/{id}/{verb}"]["parameters"]] == ["id", "verb"]
    for path, entry in paths.items():
        assert "(" not in path
        assert {method.upper() for method in entry if method != "parameters"} == set(dict(zip(paths, (h for _, h in API), strict=True))[path].roles)


def test_times_become_iso_and_user_data_stays() -> None:
    found = rest({"startTime": 0, "endTime": None, "labels": {"time": 5}, "steps": [{"startTime": 1500}]})
    assert found == {
        "startTime": "1970-01-01T00:00:00.000Z", "endTime": None, "labels": {"time": 5}, "steps": [{"startTime": "1970-01-01T00:00:01.500Z"}],
    }
    assert iso(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"


def test_cursors_are_opaque_and_checked() -> None:
    assert decode_cursor(encode_cursor(5, "a/ü")) == (5, "a/ü")
    for wrong in ("", "x", "AAAA", "WzFd", encode_cursor(-1, ""), encode_cursor(1 << 63, "")):
        with pytest.raises(ProblemError):
            decode_cursor(wrong)


def test_metrics_text_escapes_and_groups() -> None:
    text = render([("alerts", {"status": 'a"b\n\\'}, 1), ("clients", {}, 2), ("alerts", {"status": "c"}, 0.5)]).decode()
    assert text == (
        "# HELP qflowd_alerts Alerts by status.\n# TYPE qflowd_alerts gauge\n"
        'qflowd_alerts{status="a\\"b\\n\\\\"} 1\nqflowd_alerts{status="c"} 0.5\n'
        "# HELP qflowd_clients Connected WebSocket clients.\n# TYPE qflowd_clients gauge\nqflowd_clients 2\n"
    )
