"""The real page in a real browser, fed by a real daemon."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.daemon import Daemon, event, until

SHOTS = os.environ.get("QFLOWD_SHOTS")
PICTURE = Path(__file__).parents[2] / "docs" / "overview.png"
LONG = [("nightly-etl", "transform", 1080, 540, 0.41), ("user-onboarding", "validate-identity", 120, 180, 0.6),
        ("search-reindex", "shard-7-of-16", 240, 540, 0.44), ("ledger-sync", "wait-for-bank", 360, 400, 0.5)]  # fmt: skip


class Business:
    """A small company's flows: some long runs, many short ones, of which one flow fails because a service does not answer."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon, self.random, self.number = daemon, random.Random(4), 0

    def event(self, kind: str, data: dict[str, Any], at: float) -> dict[str, Any]:
        self.number += 1
        return event(kind, f"business-{self.number}", data, at=at, source="/business")

    def send(self, events: list[dict[str, Any]]) -> None:
        answer = self.daemon.send(events)
        assert answer.status == 200, answer.body
        assert not answer.json["rejected"], answer.body

    def begin(self) -> None:
        """The long runs, under way, and a rule that fires."""
        now = time.time()
        for number, (flow, step, age, estimate, progress) in enumerate(LONG):
            run = {"executionId": f"long-{number}"}
            self.send([
                self.event("exec.started", {**run, "flowId": flow, "estimatedDuration": estimate * 1000, "triggerType": "schedule"}, now - age),
                self.event("exec.step.dispatched", {**run, "stepId": "load"}, now - age + 1),
                self.event("exec.step.completed", {**run, "stepId": "load", "status": "success"}, now - age + 21),
                self.event("exec.step.dispatched", {**run, "stepId": step}, now - age + 22),
                self.event("exec.progress", {**run, "progress": progress, "currentStep": step}, now - 2),
            ])  # fmt: skip
        self.send([self.event("exec.paused", {"executionId": "long-3", "reason": "the bank is closed"}, now - 1)])
        rule = {
            "name": "payments-settle fails",
            "condition": 'flow_error_rate{flow="payments-settle"} > 0.05',
            "severity": "critical",
            "annotations": {"summary": "{{ $value | humanizePercentage }} of its runs fail, allowed 5%"},
        }
        assert self.daemon.request("POST", "/api/v1/dashboard/alerts", rule).status == 201

    def one(self, at: float, name: str | None = None, flow: str | None = None) -> None:
        """A short run that ended ``at``: reserve, then verify-funds with two attempts if it fails, and its validation."""
        chance = self.random
        flow = flow or chance.choice(["invoice-render", "user-onboarding", "payments-settle", "search-reindex", "invoice-render"])
        run: dict[str, Any] = {"executionId": name or f"{chance.getrandbits(32):08x}"}
        took = chance.uniform(0.4, 2.5)
        failed = flow == "payments-settle" and (name is not None or chance.random() < 0.8)
        error = {"type": "connection", "message": "connection refused by ledger", "stepId": "verify-funds"}
        first, second = at - took, at - took * 0.6
        events = [
            self.event("exec.started", {**run, "flowId": flow, "triggerType": "api"}, first),
            self.event("exec.step.dispatched", {**run, "stepId": "settle"}, first),
            self.event("exec.step.dispatched", {**run, "stepId": "reserve", "parentStepId": "settle"}, first),
            self.event("exec.step.completed", {**run, "stepId": "reserve", "status": "success"}, second),
        ]
        verify = {**run, "stepId": "verify-funds", "parentStepId": "settle", "attempt": 1}
        events.append(self.event("exec.step.dispatched", verify, second))
        done = {**run, "stepId": "verify-funds"}
        if failed:
            again = at - took * 0.2
            events.append(self.event("exec.step.completed", {**done, "status": "failure", "error": error}, at - took * 0.4))
            events.append(self.event("exec.step.dispatched", {**verify, "attempt": 2}, again))
            events.append(self.event("exec.step.completed", {**done, "status": "failure", "error": error}, at - 0.002))
            events.append(self.event("exec.step.completed", {**run, "stepId": "settle", "status": "failure"}, at - 0.001))
            events.append(self.event("exec.completed", {**run, "status": "failed", "error": error}, at))
        else:
            events.append(self.event("exec.step.completed", {**done, "status": "success"}, at - 0.002))
            events.append(self.event("exec.step.completed", {**run, "stepId": "settle", "status": "success"}, at - 0.001))
            events.append(self.event("exec.completed", {**run, "status": "completed"}, at))
        layers: dict[str, Any] = {}
        for layer in ("qlock", "qonsent", "qindex", "qerberos"):
            spent = chance.uniform(30, 50) * (chance.uniform(5, 12) if layer == "qonsent" else 1)
            layers[layer] = {"valid": chance.random() < 0.99, "durationMs": spent, "cacheHit": chance.random() < 0.85}
        overall = {"valid": all(one["valid"] for one in layers.values()), "durationMs": sum(one["durationMs"] for one in layers.values())}
        validation = {"validationId": f"v-{run['executionId']}", "operationType": "execution", "operationId": run["executionId"]}
        events.append(
            self.event(
                "validation.pipeline.executed",
                {**validation, "cacheHit": chance.random() < 0.8, "pipelineResult": {**layers, "overall": overall}},
                at - 0.003,
            )
        )
        self.send(events)

    def work(self, seconds: float) -> None:
        """Short runs for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.one(time.time())
            time.sleep(self.random.uniform(0.3, 0.8))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield found
        found.close()


def test_cpu_moves_and_a_flow_is_seen_from_running_to_completed(daemon: Daemon, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(f"http://{daemon.addresses['http']}/dashboard")
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    tile = page.get_by_test_id("tile-cpu").locator(".v")
    seen: set[str] = set()
    until(lambda: seen.add(tile.inner_text()) or len(seen) >= 3, 20, "the CPU figure moves")
    memory = page.get_by_test_id("tile-memory").locator(".v")
    assert any(character.isdigit() for character in memory.inner_text())

    runner = subprocess.Popen(
        [sys.executable, "-m", "qflowd", "exec", "--url", f"http://{daemon.addresses['http']}", "--flow", "hello", "--", "sleep", "3"]
    )
    row = page.get_by_test_id("active-flows").locator("[data-execution]", has_text="hello")
    expect(row).to_have_attribute("data-status", "running", timeout=3000)
    assert runner.wait() == 0
    expect(row).to_have_attribute("data-status", "completed", timeout=3000)
    assert not wrong, wrong
    page.close()


def test_after_a_restart_the_page_goes_on_without_a_reload(daemon: Daemon, browser: Browser) -> None:
    page = browser.new_page()
    address = daemon.addresses["http"]
    page.goto(f"http://{address}/dashboard")
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    page.evaluate("window.stayed = true")
    daemon.kill()
    expect(page.get_by_test_id("connection")).not_to_contain_text("Live", ignore_case=True, timeout=5000)
    daemon.arguments = ("--set", f"server.port={address.rsplit(':', 1)[1]}")
    daemon.start()
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True, timeout=40_000)
    daemon.send([event("exec.started", 1, {"executionId": "later", "flowId": "after-the-restart"})])
    expect(page.get_by_test_id("active-flows")).to_contain_text("after-the-restart")
    assert page.evaluate("window.stayed")
    page.close()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_page_fits(daemon: Daemon, browser: Browser, theme: str, width: int, height: int) -> None:
    now = time.time()
    for number, (flow, status) in enumerate([("payments-settle", "failed"), ("nightly-etl", None), ("invoice-render", "completed")]):
        name = {"executionId": f"run-{number}"}
        events = [event("exec.started", f"{number}s", {**name, "flowId": flow, "estimatedDuration": 60_000}, at=now - 40)]
        events.append(event("exec.step.dispatched", f"{number}d", {**name, "stepId": "verify-funds"}, at=now - 30))
        if status:
            error = (
                {"error": {"type": "connection", "message": "connection refused", "stepId": "verify-funds"}} if status == "failed" else {}
            )
            events.append(event("exec.completed", f"{number}e", {**name, "status": status, **error}, at=now - 5))
        assert daemon.send(events).status == 200
    page = browser.new_page(viewport={"width": width, "height": height})
    page.add_init_script(f"localStorage.setItem('qflowd.theme', '{theme}')")
    for place in ("overview", "flows", "executions/run-0", "alerts", "system"):
        page.goto(f"http://{daemon.addresses['http']}/dashboard#/{place}")
        expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
        expect(page.locator("body")).to_contain_text("payments-settle" if place in ("overview", "flows", "executions/run-0") else "")
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        if SHOTS:
            page.wait_for_timeout(4000)
            page.screenshot(path=str(Path(SHOTS) / f"{place.replace('/', '-')}-{theme}-{width}.png"))
    page.close()


SECTIONS = ("system-health", "performance", "active-flows", "alerts", "validation", "event-log")


def test_the_overview_is_one_screen_and_dims_when_the_daemon_dies(daemon: Daemon, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    business = Business(daemon)
    business.begin()
    page.goto(f"http://{daemon.addresses['http']}/dashboard#/overview")
    business.work(75 if SHOTS else 6)
    expect(page.get_by_test_id("headline")).to_contain_text("payments-settle", timeout=10_000)
    expect(page.get_by_test_id("tile-errors")).to_contain_text("limit 5 %")
    expect(page.get_by_test_id("validation")).to_contain_text("qerberos")
    for section in SECTIONS:
        box = page.get_by_test_id(section).bounding_box()
        assert box is not None, section
        assert box["y"] + box["height"] <= 900, (section, box)
    if SHOTS:
        page.screenshot(path=str(PICTURE))
    page.goto(f"http://{daemon.addresses['http']}/dashboard#/alerts")
    expect(page.get_by_test_id("alert-history")).to_contain_text("payments-settle fails")
    page.get_by_role("link", name="payments-settle fails").first.click()
    expect(page.get_by_test_id("why")).to_contain_text("inactive → firing, told")
    expect(page.get_by_test_id("why")).to_contain_text('flow_error_rate{flow="payments-settle"')
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / "why.png"))
    page.goto(f"http://{daemon.addresses['http']}/dashboard#/overview")
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    daemon.kill()
    expect(page.get_by_test_id("performance")).to_contain_text("as of", timeout=10_000)
    expect(page.get_by_test_id("tile-errors").locator(".v")).not_to_have_text("–")
    page.close()


def test_the_shell_outlives_the_daemon(daemon: Daemon, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://{daemon.addresses['http']}/dashboard")
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload()
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    daemon.kill()
    page.reload()
    expect(page.get_by_test_id("active-flows")).to_be_visible()
    expect(page.get_by_test_id("connection")).not_to_contain_text("Live", ignore_case=True)
    page.close()


def test_a_refused_reload_is_told_on_the_page(daemon: Daemon, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://{daemon.addresses['http']}/dashboard")
    expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
    daemon.file.write_text(daemon.file.read_text() + "websocket_typo: 1\n")
    assert daemon.request("POST", "/api/v1/config/reload", {}).status == 400
    expect(page.locator("body")).to_contain_text("websocket_typo")
    page.close()
