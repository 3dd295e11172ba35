"""Clients that stop, crawl, vanish, flood and lie, against the real daemon; a witness has to get every message meanwhile, and soon.

A test ends with ``witness``: each of its events came to it once, in order and within a second, and the daemon is no larger than it was.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.daemon import PORTS, Daemon, event, until
from tests.wire import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT, Peer, fragments, frame, say, squeeze

BEAT = 1.0
CONFIG = PORTS.replace("websocket: {", "websocket: {heartbeat_interval: 1s, client_buffer: 64KiB, max_clients: 60, ")
SO_ATTACH_FILTER = 26
MIB = 1024 * 1024


class Witness:
    """A viewer with a library of other people, and a source that sends an event each 25 ms; both run until ``finish``."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.sent: dict[str, float] = {}
        self.got: dict[str, float] = {}
        self.seqs: list[int] = []
        self.states = 0
        self.ended = ""
        self._done = threading.Event()
        self._all_sent = threading.Event()
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(connect(f"ws://{daemon.addresses['websocket']}/"))
        self._socket.send(json.dumps({"type": "subscribe", "data": {"streams": ["flow_executions", "performance_metrics"], "interval": 1000}}))
        while json.loads(self._socket.recv(10)).get("stream") != "performance_metrics":
            pass
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._read)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._done.wait(0.025):
            name = f"witness-{len(self.sent)}"
            answer = self.daemon.send([event("exec.started", name, {"executionId": name, "flowId": "witness"})])
            assert answer.status == 200, answer.body
            self.sent[name] = time.monotonic()

    def _read(self) -> None:
        while not (self._all_sent.is_set() and self.got.keys() >= self.sent.keys()):
            try:
                message = json.loads(self._socket.recv(0.5))
            except TimeoutError:
                continue
            except ConnectionClosed as closed:
                self.ended = str(closed)
                return
            self.states += message.get("stream") == "performance_metrics"
            if message.get("stream") == "flow_executions" and not message.get("snapshot"):
                self.seqs.append(message["seq"])
                for change in message["data"]["changes"]:
                    if change["executionId"] not in self.got:
                        self.got[change["executionId"]] = time.monotonic()

    def finish(self) -> None:
        until(lambda: len(self.sent) >= 20)
        began = next(iter(self.sent.values()))
        self._done.set()
        self._threads[0].join(10)
        self._all_sent.set()
        self._threads[1].join(10)
        self._stack.close()
        assert not self.ended, self.ended
        assert self.sent.keys() <= self.got.keys(), sorted(self.sent.keys() - self.got.keys())
        assert self.seqs == list(range(self.seqs[0], self.seqs[0] + len(self.seqs)))
        worst = max(self.got[name] - at for name, at in self.sent.items())
        assert worst < 1, f"an event came {worst:.2f} s after it was stored"
        assert self.states >= int(time.monotonic() - began) - 2


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    return start(CONFIG)


@pytest.fixture
def witness(daemon: Daemon) -> Iterator[Witness]:
    found = Witness(daemon)
    before = daemon.metric("qflowd_process_resident_memory_bytes")
    yield found
    found.finish()
    grown = daemon.metric("qflowd_process_resident_memory_bytes") - before
    assert grown < 24 * MIB, f"the daemon has grown by {grown / MIB:.1f} MiB"


def hostile(daemon: Daemon, **options: object) -> Peer:
    return Peer(daemon.addresses["websocket"], **options)  # type: ignore[arg-type]


def subscribe(peer: Peer, *streams: str) -> None:
    peer.say("subscribe", {"streams": list(streams), "interval": 1000})
    peer.hear("subscription_confirmed")


def clients(daemon: Daemon) -> int:
    return int(daemon.metric("qflowd_clients"))


def flood(daemon: Daemon, size: int) -> None:
    """Events of so many bytes in all, which every subscriber of ``event_log`` gets."""
    text = "x" * 1_000
    for number in range(size // 100_000):
        events = [event("exec.started", f"{time.time_ns()}-{number}-{n}", {"executionId": f"flood-{n}", "flowId": "flood", "labels": {"text": text}})
                  for n in range(90)]  # fmt: skip
        assert daemon.send(events).status == 200


def vanish(peer: Peer) -> None:
    """From here on nothing reaches the peer and nothing leaves it, as when its cable is pulled: no FIN, no RST, no acknowledgement."""
    nothing = struct.pack("HBBI", 0x06, 0, 0, 0)
    code = (__import__("ctypes").c_char * len(nothing)).from_buffer_copy(nothing)
    program = struct.pack("HL", 1, __import__("ctypes").addressof(code))
    peer.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


# Those that do not read


def test_a_stopped_reader_costs_its_bound_and_is_closed_with_4008(daemon: Daemon, witness: Witness) -> None:
    with hostile(daemon, receive_buffer=4096) as stopped:
        subscribe(stopped, "flow_executions", "event_log")
        flood(daemon, 2_000_000)
        until(lambda: daemon.metric("qflowd_slow_consumers_closed_total") == 1)
        assert stopped.closed()[0] == 4008
    until(lambda: clients(daemon) == 1)


def test_a_reader_that_stops_while_it_says_it_lives_goes_after_two_heartbeats(daemon: Daemon, witness: Witness) -> None:
    with hostile(daemon, receive_buffer=4096) as stopped:
        subscribe(stopped, "performance_metrics", "system_health")
        began = time.monotonic()
        while clients(daemon) == 2:
            assert time.monotonic() - began < 30, daemon.get("/api/v1/clients")
            for _ in range(10):
                try:
                    stopped.say("get_dashboard_data")
                except OSError:
                    break
            time.sleep(0.25)
        assert daemon.metric("qflowd_slow_consumers_closed_total") == 1


def test_one_byte_a_second_costs_its_bound(daemon: Daemon, witness: Witness) -> None:
    with hostile(daemon, receive_buffer=4096) as crawling:
        subscribe(crawling, "performance_metrics", "system_health", "event_log")
        flood(daemon, 300_000)
        began, most = time.monotonic(), 0
        while clients(daemon) == 2:
            assert time.monotonic() - began < 20
            most = max(most, *(one["bufferedBytes"] for one in daemon.get("/api/v1/clients")["items"]))
            try:
                crawling.socket.recv(1)
                crawling.write(frame(FIN | PONG))
            except OSError:
                break
            time.sleep(1)
        assert most <= 64 * 1024 + 64 * 1024, most
    until(lambda: clients(daemon) == 1)


def test_a_peer_that_vanished_goes_after_two_heartbeats(daemon: Daemon, witness: Witness) -> None:
    with ExitStack() as stack:
        gone = [stack.enter_context(hostile(daemon)) for _ in range(20)]
        for peer in gone:
            subscribe(peer, "flow_executions", "performance_metrics")
        assert clients(daemon) == 21
        for peer in gone:
            vanish(peer)
        began = time.monotonic()
        until(lambda: clients(daemon) == 1, 20)
        # Two intervals, a second until the next beat, and the five seconds in which a closing peer may answer.
        assert time.monotonic() - began < 2 * BEAT + 1 + 5 + 2
        assert until(lambda: daemon.metric("qflowd_process_open_fds") < 40)


def test_a_peer_that_only_answers_pings_stays(daemon: Daemon, witness: Witness) -> None:
    with hostile(daemon) as quiet:
        began = time.monotonic()
        while time.monotonic() - began < 5 * BEAT:
            opcode, payload = quiet.frame()
            assert opcode == PING
            quiet.write(frame(FIN | PONG, payload))
        assert quiet.alive()


# Those that say too much


FLOODS = {
    "pings": frame(FIN | PING, b"x" * 125),
    "pongs": frame(FIN | PONG),
    "empty fragments": frame(0),
    "subscriptions": frame(FIN | TEXT, say("subscribe", {"streams": ["flow_executions", "event_log", "alert_events", "system_health"]})),
    "dashboards": frame(FIN | TEXT, say("get_dashboard_data")),
    "nonsense": frame(FIN | TEXT, b"nonsense"),
    "large lists": frame(FIN | TEXT, say("heartbeat", [[]] * 16_000)),
    "globs": frame(FIN | TEXT, say("set_filters", {"filters": {"flowId": [f"{'a*' * 100}{n}" for n in range(100)]}})),
    "compressed": frame(FIN | TEXT | RSV1, squeeze(say("heartbeat", "x" * 60_000))),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_cut_off_with_4029(daemon: Daemon, witness: Witness, name: str) -> None:
    wire = FLOODS[name]
    for _ in range(3):
        with hostile(daemon, offer="permessage-deflate") as flooding:
            if name == "empty fragments":
                flooding.write(frame(TEXT))
            writer = threading.Thread(target=send_all, args=(flooding, wire * 1_000))
            writer.start()
            assert flooding.closed()[0] == 4029
            writer.join(10)


def test_many_messages_within_the_rate_are_answered(daemon: Daemon, witness: Witness) -> None:
    with hostile(daemon) as busy:
        for number in range(100):
            busy.write(frame(FIN | PING, b"%d" % number))
            assert busy.pong() == b"%d" % number
            time.sleep(0.025)
        assert busy.alive()


def test_who_goes_on_after_being_closed_is_not_listened_to(daemon: Daemon, witness: Witness) -> None:
    used = daemon.metric("qflowd_process_cpu_seconds_total")
    began = time.monotonic()
    with ExitStack() as stack:
        for first in (frame(FIN | 3), frame(FIN | TEXT, b"\xff"), frame(FIN | PING, b"") * 400):
            peer = stack.enter_context(hostile(daemon))
            peer.write(first)
            threading.Thread(target=pour, args=(peer, frame(FIN | TEXT, b"x" * 60_000))).start()
        time.sleep(4)
        used = daemon.metric("qflowd_process_cpu_seconds_total") - used
        assert used / (time.monotonic() - began) < 0.5
        until(lambda: clients(daemon) == 1)


def pour(peer: Peer, wire: bytes) -> None:
    """Write until the connection breaks."""
    try:
        while True:
            peer.socket.sendall(wire)
    except OSError:
        pass


# Those that lie


def test_garbage(daemon: Daemon, witness: Witness) -> None:
    codes = set()
    for number in range(150):
        with hostile(daemon, offer="permessage-deflate" if number % 2 else None) as liar:
            try:
                liar.write(os.urandom(3_000))
                liar.socket.shutdown(socket.SHUT_WR)
                codes.add(liar.closed()[0])
            except (OSError, EOFError):
                pass  # It was a frame that began and never ended.
    assert codes <= {1002, 1007, 1009, None} and 1002 in codes, codes
    until(lambda: clients(daemon) == 1)


LIES = {
    "a length of 2^62": (frame(FIN | TEXT, size=1 << 62, width=64), 1009),
    "64 MiB in one frame": (frame(FIN | BINARY, b"x" * 64 * MIB), 1009),
    "fragments without end": (b"".join(fragments(TEXT, [b"x" * 1_000] * 5_000)[:-1]), 1009),
    "a deflate bomb": (frame(FIN | TEXT | RSV1, squeeze(b" " * 60_000_000)), 1009),
    "a bomb in fragments": (b"".join(fragments(TEXT, [squeeze(b"[" * 30_000_000)[at : at + 900] for at in range(0, 40_000, 900)], RSV1)), 1009),
    "no deflate data": (frame(FIN | TEXT | RSV1, b"\xfe" * 60_000), 1007),
    "half a character": (b"".join(fragments(TEXT, [b'{"type":"\xe2\x82', b'"}'])), 1007),
    "half a character as a reason": (frame(FIN | CLOSE, struct.pack("!H", 1000) + b"\xe2\x82"), 1007),
    "no mask": (frame(FIN | TEXT, say("heartbeat"), mask=None), 1002),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_get_their_code_ten_times_at_once(daemon: Daemon, witness: Witness, name: str) -> None:
    wire, code = LIES[name]
    with ExitStack() as stack:
        liars = [stack.enter_context(hostile(daemon, offer="permessage-deflate")) for _ in range(10)]
        writers = [threading.Thread(target=lambda peer=peer: send_all(peer, wire)) for peer in liars]
        for thread in writers:
            thread.start()
        for peer in liars:
            assert peer.closed()[0] == code
        for thread in writers:
            thread.join(10)
    until(lambda: clients(daemon) == 1)


def send_all(peer: Peer, wire: bytes) -> None:
    try:
        peer.socket.sendall(wire)
    except OSError:
        pass


def test_half_a_frame_is_not_waited_for_for_ever(daemon: Daemon, witness: Witness) -> None:
    with ExitStack() as stack:
        halves = [stack.enter_context(hostile(daemon)) for _ in range(40)]
        for number, peer in enumerate(halves):
            whole = frame(FIN | TEXT, b"x" * 60_000) if number % 2 else b"".join(fragments(TEXT, [b"x" * 30_000] * 2))
            peer.write(whole[: (1, 2, 5, 40_000)[number % 4]])
        began = time.monotonic()
        until(lambda: clients(daemon) == 1, 20)
        assert time.monotonic() - began < 2 * BEAT + 1 + 5 + 2
        assert halves[0].closed() == (1001, "Heartbeat timeout")


# Those that are many


def test_over_max_clients_1013_and_room_again_afterwards(daemon: Daemon, witness: Witness) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(hostile(daemon)) for _ in range(59)]
        for _ in range(50):
            with hostile(daemon, welcome=False) as one_too_many:
                assert one_too_many.closed() == (1013, "Server overloaded")
        # Who does not answer the close does not take a place either.
        refused = [stack.enter_context(hostile(daemon, welcome=False)) for _ in range(50)]
        for peer in refused:
            pings = frame(FIN | PING, b"x") * 50
            send_all(peer, pings)
        assert clients(daemon) == 60
        peers[0].write(frame(FIN | CLOSE))
        assert peers[0].closed()[0] is None
        until(lambda: clients(daemon) == 59)
        assert stack.enter_context(hostile(daemon)).alive()


def test_slow_handshakes_are_not_waited_for(daemon: Daemon, witness: Witness) -> None:
    host, port = daemon.addresses["websocket"].rsplit(":", 1)
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(300)]
        began = time.monotonic()
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1_000
        ended: set[int] = set()
        while len(ended) < len(slow):
            assert time.monotonic() - began < 20
            for number, one in enumerate(slow):
                if number in ended:
                    continue
                at = int((time.monotonic() - began) * 4)
                try:
                    one.sendall(head[at : at + 1])
                    one.setblocking(False)
                    if one.recv(1) == b"":
                        ended.add(number)
                except BlockingIOError:
                    one.setblocking(True)
                except OSError:
                    ended.add(number)
            time.sleep(0.25)
