"""Rules of the API and of files: where they came from, what they were, and the way back."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.daemon import PORTS, Daemon, until

RULES = "/api/v1/dashboard/alerts"
BODY = {"id": "load", "name": "Load", "condition": "load1 > 100", "labels": {"team": "a"}}


def qflowd(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qflowd", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def actions(daemon: Daemon, rule: str = "load") -> list[tuple[int, str, int | None]]:
    return [(one["version"], one["action"], one["of"]) for one in daemon.get(f"{RULES}/{rule}/versions")["items"]]


def test_versions_differences_and_the_way_back(start: Callable[..., Daemon]) -> None:
    daemon = start()
    made = daemon.request("POST", RULES, BODY)
    assert made.status == 201 and made.json["version"] == 1
    tag = made.headers["ETag"]
    changed = daemon.request("PUT", f"{RULES}/load", {**BODY, "condition": "load1 > 200", "labels": {"team": "b", "x": "y"}}, {"If-Match": tag})
    assert (changed.status, changed.json["version"]) == (200, 2) and changed.headers["ETag"] != tag
    assert daemon.request("PUT", f"{RULES}/load", BODY, {"If-Match": tag}).status == 412, "it was read before the change"
    again = daemon.request("PUT", f"{RULES}/load", daemon.get(f"{RULES}/load"))
    assert (again.status, again.json["version"], again.headers["ETag"]) == (200, 2, changed.headers["ETag"]), "nothing changed: no version"

    found = daemon.get(f"{RULES}/load/diff?from=1&to=2")
    assert found == {"from": 1, "to": 2, "changes": [
        {"path": "condition", "before": "load1 > 100", "after": "load1 > 200"}, {"path": "labels.team", "before": "a", "after": "b"},
        {"path": "labels.x", "before": None, "after": "y"}]}  # fmt: skip
    assert daemon.get(f"{RULES}/load/diff") == found, "the newest beside the one before, where none is named"

    back = daemon.request("POST", f"{RULES}/load/rollback", {"version": 1})
    assert (back.status, back.json["version"], back.json["condition"]) == (200, 3, "load1 > 100")
    assert daemon.get(f"{RULES}/load/diff?from=1&to=3")["changes"] == []
    assert daemon.request("DELETE", f"{RULES}/load").status == 204
    assert daemon.request("GET", f"{RULES}/load").status == 404
    assert daemon.request("POST", f"{RULES}/load/rollback", {"version": 4}).status == 409, "version 4 is its end"

    daemon.kill()
    daemon.start()
    assert "load" not in daemon.rules()
    assert actions(daemon) == [(4, "deleted", None), (3, "rolledBack", 1), (2, "changed", None), (1, "created", None)]
    items = daemon.get(f"{RULES}/load/versions?limit=2")
    assert [one["rule"] is None for one in items["items"]] == [True, False] and items["items"][0]["author"] == "anonymous"
    more = daemon.get(f"{RULES}/load/versions?limit=2&cursor={items['nextCursor']}")
    assert [one["version"] for one in more["items"]] == [2, 1] and more["nextCursor"] is None
    back = daemon.request("POST", f"{RULES}/load/rollback", {"version": 2})
    assert (back.status, back.json["version"], daemon.rules()["load"]["condition"]) == (200, 5, "load1 > 200")


def test_what_cannot_be_rolled_back_says_why(start: Callable[..., Daemon]) -> None:
    daemon = start(PORTS + "alerts: {rules: [{id: of_file, name: F, condition: load1 > 100}]}\n")
    for path, status, words in (
        ("of_file/versions", 404, "not of the API"), ("nothing/versions", 404, "no rule"), ("nothing/diff", 404, "no rule"),
    ):  # fmt: skip
        found = daemon.request("GET", f"{RULES}/{path}")
        assert found.status == status and words in found.json["detail"]
    assert daemon.request("POST", f"{RULES}/of_file/rollback", {"version": 1}).status == 409
    daemon.request("POST", RULES, BODY)
    for body in ({}, {"version": "1"}, {"version": True}, {"version": 1, "x": 1}, [1]):
        found = daemon.request("POST", f"{RULES}/load/rollback", body)
        assert found.status == 400 and found.json["errors"][0]["path"] == "version"
    assert daemon.request("POST", f"{RULES}/load/rollback", {"version": 7}).status == 404
    assert daemon.request("GET", f"{RULES}/load/diff?from=9").status == 404
    taken = daemon.request("POST", RULES, {**BODY, "id": "a/versions"})
    assert taken.status == 400 and "may not end in /versions" in taken.json["errors"][0]["message"]


def test_of_two_who_change_the_same_version_one_is_told(start: Callable[..., Daemon]) -> None:
    daemon = start()
    tag = daemon.request("POST", RULES, BODY).headers["ETag"]
    answers: list[int] = []

    def put(number: int) -> None:
        answers.append(daemon.request("PUT", f"{RULES}/load", {**BODY, "name": f"N{number}"}, {"If-Match": tag}).status)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [412] * 7
    assert actions(daemon) == [(2, "changed", None), (1, "created", None)]


def test_a_change_of_texts_keeps_the_alert_and_is_a_version(start: Callable[..., Daemon]) -> None:
    daemon = start()
    body: dict[str, Any] = {"id": "always", "name": "Always", "condition": "vector(1) > 0"}
    daemon.request("POST", RULES, body)
    until(lambda: daemon.rules()["always"]["state"] == "firing")
    before = daemon.get("/api/v1/alerts/active")["items"][0]
    daemon.request("PUT", f"{RULES}/always", {**body, "annotations": {"summary": "x"}})
    daemon.request("POST", f"{RULES}/always/rollback", {"version": 1})
    after = daemon.get("/api/v1/alerts/active")["items"][0]
    assert (after["id"], after["firedAt"]) == (before["id"], before["firedAt"]) and after["annotations"] == {}


def test_groups_and_recording_rules_work_from_end_to_end(start: Callable[..., Daemon], tmp_path: Path) -> None:
    (tmp_path / "rules.d").mkdir()
    file = tmp_path / "rules.d" / "hosts.yaml"
    file.write_text("""groups:
  - name: hosts
    rules:
      - record: host:load:double
        expr: load1 * 2
        labels: {kind: made}
      - alert: Loaded
        expr: host:load:double{kind="made"} >= 0
        labels: {severity: page}
        annotations: {summary: "{{ $labels.kind }} {{ $labels.host }}"}
""")
    daemon = start()
    made = daemon.request("POST", RULES, {"record": "host:load:triple", "expr": "load1 * 3"})
    assert made.status == 201 and made.json["record"] == "host:load:triple"
    alert = until(lambda: next((one for one in daemon.get("/api/v1/alerts/active")["items"] if one["ruleId"] == "hosts/Loaded"), None))
    assert alert["severity"] == "critical" and alert["labels"]["severity"] == "page" and alert["annotations"]["summary"].startswith("made ")
    rules = daemon.rules()
    assert rules["hosts/Loaded"]["source"] == {"kind": "file", "file": str(file), "line": 7}
    assert rules["hosts/host:load:double"]["record"] == "host:load:double" and rules["hosts/Loaded"]["version"] is None
    refused = daemon.request("DELETE", f"{RULES}/hosts/Loaded")
    assert refused.status == 409 and f"{file}, line 7" in refused.json["detail"]
    for name, factor in (("host:load:double", 2), ("host:load:triple", 3)):
        query = f"/api/v1/query?query={name}%20%2F%20ignoring(kind)%20load1"
        # An idle machine has a load of 0, and no ratio.
        until(lambda query=query, factor=factor: [one["value"][1] for one in daemon.get(query)["data"]["result"]] in ([str(factor)], ["NaN"]))


def test_the_difference_is_told_and_nothing_changes(start: Callable[..., Daemon], tmp_path: Path) -> None:
    one = "alerts:\n  rules:\n    - {id: a, name: A, condition: vector(1) > 0}\n    - {id: b, name: B, condition: load1 > 100}\n"
    daemon = start(PORTS + one)
    until(lambda: daemon.rules()["a"]["state"] == "firing")
    check = ("check-config", daemon.file, "--state", daemon.state, "--diff")
    found = qflowd(*check)
    assert (found.returncode, found.stdout.splitlines()[1:]) == (0, ["no difference to the running daemon"]), found

    daemon.file.write_text("# a line more\n" + PORTS + one)
    assert qflowd(*check).stdout.splitlines()[1:] == ["no difference to the running daemon"], "rules that only moved are the same"

    text = one.replace("condition: load1 > 100", "condition: load1 > 200").replace("name: A,", "name: A, annotations: {s: x},")
    daemon.file.write_text(PORTS.replace("server: {", "server: {instance: here, ") + text + "    - {id: c, name: C, condition: load1 > 1}\nlimits: {max_series: 9}\n")
    found = qflowd(*check)
    file = daemon.file
    assert (found.returncode, found.stdout.splitlines()[1:]) == (0, [
        f"~ rule a ({file}:5): its alerts and timers go on",
        '    annotations.s: - -> "x"',
        f"~ rule b ({file}:6): its alerts resolve, it begins anew",
        '    condition: "load1 > 100" -> "load1 > 200"',
        f"+ rule c ({file}:7)",
        '~ server.instance: - -> "here"',
        "~ limits.max_series: 2000 -> 9 (takes effect after a restart)",
    ]), found  # fmt: skip
    dry = daemon.request("POST", "/api/v1/config/reload?dryRun=true")
    assert dry.status == 200 and dry.json["rules"] == {"added": ["c"], "removed": [], "changed": ["a", "b"]}
    assert dry.json["needsRestart"] == ["limits.max_series"]
    assert "c" not in daemon.rules() and daemon.rules()["b"]["condition"] == "load1 > 100"
    assert daemon.request("POST", "/api/v1/config/reload?dryRun=perhaps").status == 400

    before = daemon.get("/api/v1/alerts/active")["items"][0]
    done = daemon.request("POST", "/api/v1/config/reload")
    assert done.json == dry.json, "the reload does what the dry run told"
    after = daemon.get("/api/v1/alerts/active")["items"][0]
    assert (after["id"], after["firedAt"], after["annotations"]) == (before["id"], before["firedAt"], {"s": "x"})
    assert qflowd(*check).stdout.splitlines()[1:] == ["! limits.max_series waits for a restart"]

    daemon.file.write_text("alerts: {rules: [{name: A}]}")
    bad = qflowd(*check)
    assert bad.returncode == 1 and f"{file}:1: alerts.rules[0]" in bad.stderr
    refused = daemon.request("POST", "/api/v1/config/reload?dryRun=true")
    assert refused.status == 400 and daemon.metric("qflowd_config_last_reload_success") == 1, "a dry run is no failed reload"


def test_the_difference_needs_a_daemon(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text("storage: {path: state}\n")
    found = qflowd("check-config", file, "--diff")
    assert found.returncode == 1 and f"no daemon answers at {tmp_path}/state/control.sock" in found.stderr


def test_exported_rules_are_a_file_of_rules(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start(PORTS + "alerts: {rules: [{id: of_file, name: F, condition: load1 > 100}]}\n")
    daemon.request("POST", RULES, {**BODY, "for": 90_000, "cooldown": "5m", "annotations": {"s": "off\n{{ $value }}", "t": "1e3"}})
    daemon.request("POST", RULES, {"record": "load:double", "expr": "load1 * 2"})
    state = ("--state", daemon.state)
    found = qflowd("rules", "export", *state)
    assert found.returncode == 0 and "of_file" not in found.stdout and "for: 1m30s" in found.stdout, found
    assert "id: of_file" in qflowd("rules", "export", "--all", *state).stdout
    assert "high_latency_alert" in qflowd("rules", "export", "high_latency_alert", *state).stdout
    missing = qflowd("rules", "export", "nothing", *state)
    assert missing.returncode == 1 and "no rule nothing" in missing.stderr

    (tmp_path / "rules.d").mkdir()
    file = tmp_path / "rules.d" / "api.yaml"
    assert qflowd("rules", "export", "-o", file, *state).returncode == 0
    again = qflowd("rules", "export", "-o", file, *state)
    assert again.returncode == 1 and "exists" in again.stderr
    before = daemon.rules()
    assert daemon.request("POST", "/api/v1/config/reload").json["rules"] == {"added": [], "removed": [], "changed": []}
    after = daemon.rules()
    for rule in ("load", "load_double"):
        assert after[rule]["source"] == {"kind": "file", "file": str(file), "line": after[rule]["source"]["line"]}
        skip = ("source", "version", "lastEvaluation", "lastValue")
        assert {key: value for key, value in after[rule].items() if key not in skip} == {
            key: value for key, value in before[rule].items() if key not in skip
        }
    assert daemon.request("DELETE", f"{RULES}/load").status == 409
