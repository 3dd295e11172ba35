"""Fixtures: the package, and machines to install it on."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot.base import base, why_not
from tests.boot.machine import Machine

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A clear reason where no machine can be booted; time for the first boot, which makes the Debian."""
    reason = why_not()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package, built of what lies here."""
    subprocess.run(["make", "-s", "deb"], cwd=ROOT, check=True)
    return max((ROOT / "dist").glob("qflowd_*.deb"), key=lambda file: file.stat().st_mtime)


@pytest.fixture(scope="session")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Machine]]:
    """Boots machines; they end with the session, and name what they still log of a failure."""
    debian, machines = base(), []

    def begin(*arguments: str) -> Machine:
        machine = Machine(debian, tmp_path_factory.mktemp(f"machine-{uuid.uuid4().hex[:6]}"), *arguments)
        machines.append(machine)
        return machine

    yield begin
    for machine in machines:
        machine.end()


@pytest.fixture(scope="module")
def machine(boot: Callable[..., Machine], package: Path) -> Machine:
    """A machine with the package installed by apt."""
    found = boot()
    found.copy_in(package, "/root/qflowd.deb")
    found.run("apt-get install -y /root/qflowd.deb")
    return found
