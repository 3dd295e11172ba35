"""The service through systemctl: start, reload, failures, stop."""

from __future__ import annotations

import json

from websockets.sync.client import connect

from tests.boot.machine import Machine
from tests.daemon import until


def test_installed_it_is_active_and_the_dashboard_answers(machine: Machine) -> None:
    assert machine.show("ActiveState") == "active" and machine.show("SubState") == "running"
    assert machine.show("UnitFileState") == "enabled"
    page = machine.request("GET", "/dashboard")
    assert page.status == 200 and b"<html" in page.body.lower(), page.body[:200]
    assert machine.get("/api/v1/dashboard/stats")
    for port, path in ((9090, "/"), (8080, "/ws")):
        with connect(f"ws://localhost:{port}{path}", sock=machine.connect(port)) as client:
            assert json.loads(client.recv(timeout=10))["type"] == "welcome"


def test_start_waits_for_ready(machine: Machine) -> None:
    machine.run("systemctl stop qflowd")
    machine.run("systemctl start qflowd")
    assert machine.answers(), machine.journal()
    until(lambda: "clients" in machine.show("StatusText"), 20, "the status line")
