from __future__ import annotations

import os
import socket

import pytest

from qflowd.sdnotify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_a_real_socket(tmp_path, abstract):
    name = f"@qflowd-test-{os.getpid()}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name[1:] if abstract else name)
        server.settimeout(2)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
        notifier.ready()
        notifier.reloading()
        notifier.status("two\nlines")
        notifier.watchdog()
        notifier.stopping()
        got = [server.recv(1000).decode() for _ in range(5)]
        notifier.close()
    assert got[0] == "READY=1" and got[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert got[2:] == ["STATUS=two lines", "WATCHDOG=1", "STOPPING=1"] and notifier.watchdog_usec == 30_000_000


def test_nothing_happens_without_a_socket_or_listener(tmp_path):
    Notifier(None).ready()
    gone = Notifier(str(tmp_path / "gone"))
    gone.ready()
    gone.close()
    other = Notifier.from_environment({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, pid=2)
    assert other.watchdog_usec is None
