"""Why a rule fired and why nobody was told: over HTTP and by command, before and after kill -9."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

from tests.daemon import Daemon, event, until

NUMBERS = itertools.count()


def measure(daemon: Daemon, value: float) -> None:
    """A module tells a figure: the series ``module_depth``."""
    data = {"module": "queue", "metrics": {"depth": value}}
    assert daemon.send([event("module.metrics", next(NUMBERS), data)]).json["accepted"] == 1


def explained(daemon: Daemon, rule: str, **query: Any) -> Any:
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return daemon.get(f"/api/v1/alerts/{rule}/explain?{text}")


def command(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qflowd", "explain", *arguments, "--state", str(daemon.state)], capture_output=True, text=True)


def test_a_rule_is_explained_and_still_is_after_kill_9(daemon: Daemon) -> None:
    rule = {"id": "queue/deep", "name": "Deep", "condition": "module_depth > 5", "cooldown": "1h"}
    assert daemon.request("POST", "/api/v1/dashboard/alerts", rule).status == 201
    for value, state in ((9, "firing"), (1, "inactive"), (9, "firing")):
        measure(daemon, value)
        until(lambda state=state: daemon.rules()["queue/deep"]["state"] == state)
    found = explained(daemon, "queue%2Fdeep")
    standing, items = found["standing"], found["items"]
    assert standing["inputs"] == [{"name": "module_depth", "labels": {"module": "queue"}, "value": 9}]
    assert standing["alerts"][0]["waits"][0]["stage"] == "cooldown"
    assert [(one["before"], one["after"], one["notify"]) for one in items] == [
        (None, "firing", False), ("firing", "resolved", True), (None, "firing", True)
    ]  # fmt: skip
    held = items[0]["reasons"][0]
    assert held["stage"] == "cooldown" and held["until"] > items[0]["time"] and items[0]["inputs"][0]["value"] == 9
    assert "Z" in held["until"]

    # What happened is kept from the commit on that follows; one that had begun before may be without it.
    commits = daemon.metric("qflowd_journal_commits_total")
    until(lambda: daemon.metric("qflowd_journal_commits_total") >= commits + 2)
    daemon.kill()
    daemon.start()
    again = explained(daemon, "queue/deep", limit=2)
    assert again["items"] == items[:2]
    rest = explained(daemon, "queue/deep", limit=2, cursor=again["nextCursor"])
    assert rest["items"] == items[2:] and rest["nextCursor"] is None
    told = command(daemon, "queue/deep")
    assert told.returncode == 0, told.stderr
    assert "queue/deep: firing" in told.stdout and "not told" in told.stdout and "cooldown: " in told.stdout
    assert 'module_depth{module="queue"} = 9' in told.stdout
    assert [one["id"] for one in json.loads(command(daemon, "queue/deep", "--json", "--limit", "2").stdout)["items"]] == [
        one["id"] for one in items[:2]
    ]

    assert daemon.request("DELETE", "/api/v1/dashboard/alerts/queue/deep").status == 204
    gone = explained(daemon, "queue/deep")
    assert gone["standing"] is None and gone["items"][0]["after"] == "resolved" and gone["items"][1:] == items
    assert "the rule is gone" in command(daemon, "queue/deep").stdout


def test_what_is_not_known_is_said(daemon: Daemon) -> None:
    assert daemon.request("GET", "/api/v1/alerts/nothing/explain").status == 404
    assert daemon.request("GET", "/api/v1/alerts/high_latency_alert/explain?limit=0").json["errors"][0]["path"] == "limit"
    assert daemon.request("GET", "/api/v1/alerts/high_latency_alert/explain?cursor=x").status == 400
    assert command(daemon, "nothing").stderr == "qflowd: no rule 'nothing'\n"
    assert command(daemon, "high_latency_alert", "--limit", "0").returncode == 1
    document = daemon.get("/api/v1/openapi.json")
    operation = document["paths"]["/api/v1/alerts/{id}/explain"]["get"]
    assert operation["responses"]["2XX"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Explanation"}
    assert {"Explanation", "Standing", "Decision", "Reason"} <= document["components"]["schemas"].keys()
