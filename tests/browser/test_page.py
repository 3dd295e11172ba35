"""The real page in a real browser, fed by a real daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.daemon import Daemon, event, until

SHOTS = os.environ.get("QFLOWD_SHOTS")


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
    now = __import__("time").time()
    for number, (flow, status) in enumerate([("payments-settle", "failed"), ("nightly-etl", None), ("invoice-render", "completed")]):
        name = {"executionId": f"run-{number}"}
        events = [event("exec.started", f"{number}s", {**name, "flowId": flow, "estimatedDuration": 60_000}, at=now - 40)]
        events.append(event("exec.step.dispatched", f"{number}d", {**name, "stepId": "verify-funds"}, at=now - 30))
        if status:
            error = {"error": {"type": "connection", "message": "connection refused", "stepId": "verify-funds"}} if status == "failed" else {}
            events.append(event("exec.completed", f"{number}e", {**name, "status": status, **error}, at=now - 5))
        assert daemon.send(events).status == 200
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    for place in ("overview", "flows", "executions/run-0", "alerts", "system"):
        page.goto(f"http://{daemon.addresses['http']}/dashboard#/{place}")
        expect(page.get_by_test_id("connection")).to_contain_text("Live", ignore_case=True)
        expect(page.locator("body")).to_contain_text("payments-settle" if place in ("overview", "flows", "executions/run-0") else "")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        if SHOTS:
            page.wait_for_timeout(4000)
            page.screenshot(path=str(Path(SHOTS) / f"{place.replace('/', '-')}-{theme}-{width}.png"))
    page.close()
