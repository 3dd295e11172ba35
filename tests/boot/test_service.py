"""The service through systemctl: start, reload, failures, stop."""

from __future__ import annotations

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.boot.machine import Machine
from tests.daemon import event, until


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


RULE = "- {id: boot, name: Boot, condition: load1 > 1e6}\n"


def test_reload_takes_a_good_rule_and_refuses_a_broken_one(machine: Machine) -> None:
    rules = machine.path("/etc/qflowd/rules.d/boot.yaml")

    def conditions() -> dict[str, str]:
        return {one["id"]: one["condition"] for one in machine.get("/api/v1/dashboard/alerts")["items"]}

    rules.write_text(RULE)
    machine.run("systemctl reload qflowd")
    assert conditions()["boot"] == "load1 > 1e6"
    before = machine.show("MainPID")
    rules.write_text(RULE.replace("> 1e6", ">"))
    assert machine.status("systemctl reload qflowd") != 0
    assert conditions()["boot"] == "load1 > 1e6"
    assert "boot.yaml:1" in machine.run("systemctl status qflowd", any_status=True)
    rules.unlink()
    machine.run("systemctl reload qflowd")
    assert "boot" not in conditions()
    assert machine.show("MainPID") == before


def started_anew(machine: Machine, before: str) -> None:
    until(lambda: machine.show("MainPID") not in ("0", before) and machine.answers(), 60, "systemd starts it again")


def test_after_kill_9_what_was_acknowledged_is_there(machine: Machine) -> None:
    sent = [event("exec.started", f"kill-{n}", {"executionId": f"kill-{n}", "flowId": "boot"}) for n in range(50)]
    body = "\n".join(json.dumps(one) for one in sent).encode()
    answer = machine.request("POST", "/api/v1/events", body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer.body
    before = machine.show("MainPID")
    machine.run("systemctl kill --signal=KILL qflowd")
    started_anew(machine, before)
    found = {one["executionId"] for one in machine.get("/api/v1/executions?limit=1000")["items"]}
    assert {f"kill-{n}" for n in range(50)} <= found
    assert int(machine.show("NRestarts")) >= 1


def test_the_watchdog_starts_a_stopped_process_again(machine: Machine) -> None:
    before = machine.show("MainPID")
    machine.run("systemctl kill --signal=STOP qflowd")
    started_anew(machine, before)
    assert "watchdog" in machine.journal().lower()


def test_stop_tells_the_clients_and_ends_within_5_s(machine: Machine) -> None:
    with connect("ws://localhost:9090/", sock=machine.connect(9090)) as client:
        begun = time.monotonic()
        machine.run("systemctl stop qflowd")
        assert time.monotonic() - begun < 5
        heard = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                heard.append(json.loads(client.recv(timeout=5))["type"])
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001, (closed.value, heard)
    assert machine.show("ExecMainStatus") == "0" and machine.show("Result") == "success"
    machine.run("systemctl start qflowd")
    assert machine.answers()
