"""Reload is all or nothing; mistakes are told with line and path."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.daemon import PORTS, Daemon, until

RULES = """
alerts:
  rules:
    - id: always
      name: Always
      condition: vector(1) > 0
      for: 1s
      channels: [dashboard]
    - id: {id}
      name: Other
      condition: {condition}
      channels: [dashboard]
"""


def hup(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)


def test_a_broken_file_changes_nothing_and_a_good_one_all(start: Callable[..., Daemon]) -> None:
    daemon = start(PORTS + RULES.format(id="other", condition="load1 > 1e6"))
    with connect(f"ws://{daemon.addresses['websocket']}/") as client:
        assert json.loads(client.recv())["type"] == "welcome"
        until(lambda: daemon.rules()["always"]["state"] == "firing")
        before = next(one for one in daemon.get("/api/v1/alerts/active")["items"] if one["ruleId"] == "always")

        daemon.file.write_text(PORTS + RULES.format(id="other", condition="load1 >"))
        hup(daemon)
        until(lambda: daemon.metric("qflowd_config_last_reload_success") == 0)
        assert daemon.rules()["other"]["condition"] == "load1 > 1e6"
        assert "configError" in daemon.get("/api/v1/dashboard/data")["systemHealth"]
        assert daemon.get("/api/v1/dashboard/data")["systemHealth"]["configError"]
        assert "alerts.rules[1].condition" in daemon.log.read_text()
        refused = daemon.request("POST", "/api/v1/config/reload", {})
        assert refused.status == 400 and refused.json["errors"], refused.body

        daemon.file.write_text(PORTS + RULES.format(id="another", condition="load1 > 1e7"))
        hup(daemon)
        until(lambda: daemon.metric("qflowd_config_last_reload_success") == 1)
        rules = daemon.rules()
        assert "another" in rules and "other" not in rules
        after = next(one for one in daemon.get("/api/v1/alerts/active")["items"] if one["ruleId"] == "always")
        assert (after["id"], after["startsAt"], after["firedAt"]) == (before["id"], before["startsAt"], before["firedAt"])
        client.send('{"type": "heartbeat"}')
        assert json.loads(client.recv())["type"] == "heartbeat_ack"


@pytest.mark.parametrize(
    ("text", "line", "path"),
    [
        ("websocket:\n  port: many\n", 2, "websocket.port"),
        ("websocket:\n  prot: 9090\n", 2, "websocket.prot"),
        ("websocket:\n  update_interval: 5 parsecs\n", 2, "websocket.update_interval"),
        ("alerts:\n  rules:\n    - name: A\n      condition: cpu >\n", 4, "alerts.rules[0].condition"),
        ("alerts:\n  rules:\n    - {id: a, name: A, condition: up > 1}\n    - {id: a, name: B, condition: up > 1}\n", 4, "alerts.rules[1]"),
    ],
)
def test_check_config_names_line_and_path(tmp_path: Path, text: str, line: int, path: str) -> None:
    file = tmp_path / "qflowd.yaml"
    file.write_text(text)
    found = subprocess.run([sys.executable, "-m", "qflowd", "check-config", str(file)], capture_output=True, text=True)
    assert found.returncode == 1, found.stdout
    assert f"{file}:{line}: " in found.stderr and path in found.stderr, found.stderr


def test_the_shipped_configuration_is_good() -> None:
    file = Path(__file__).parents[2] / "etc" / "qflowd.yaml"
    found = subprocess.run([sys.executable, "-m", "qflowd", "check-config", str(file)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_a_taken_port_is_named_with_the_key(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start()
    port = daemon.addresses["http"].rsplit(":", 1)[1]
    other = tmp_path / "other.yaml"
    other.write_text(PORTS.replace("port: 0}", f"port: {port}}}", 1) + f"storage: {{path: {tmp_path / 'other'}}}\n")
    found = subprocess.run([sys.executable, "-m", "qflowd", "run", "-c", str(other)], capture_output=True, text=True)
    assert found.returncode == 1
    assert f"port {port}" in found.stderr and "server.port" in found.stderr and str(daemon.pid) in found.stderr, found.stderr
