"""Every frame that RFC 6455 and RFC 7692 speak of, against the real daemon: the groups of cases that Autobahn's test suite made known.

There is no echo; ``set_filters`` answers with what it was given, so that the text of a message is seen to arrive whole.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator

import pytest

from tests.conftest import watched
from tests.daemon import Daemon, until
from tests.wire import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT, Peer, fragments, frame, pieces, say, squeeze

LIMIT = 65_536
HELLO = "Hello-µ@ßöäüàá-UTF-8!!"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with watched(tmp_path_factory.mktemp("frames")) as start:
        yield start()


@pytest.fixture(params=["websocket", "http"])
def peer(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Peer]:
    path = {"websocket": "/", "http": "/ws"}[request.param]
    with Peer(daemon.addresses[request.param], path) as found:
        yield found


def open_peer(daemon: Daemon, offer: str | None = None) -> Peer:
    return Peer(daemon.addresses["websocket"], offer=offer)


def echo(text: str) -> bytes:
    return say("set_filters", {"filters": {"flowId": text}})


def echoed(peer: Peer) -> str:
    found: str = peer.hear("filters_updated")["data"]["filters"]["flowId"]
    return found


def padded(size: int) -> bytes:
    """A heartbeat of exactly so many bytes."""
    bare = len(say("heartbeat", ""))
    return say("heartbeat", "x" * (size - bare))


# 1: framing


@pytest.mark.parametrize("size", [125, 126, 127, 128, 65_535, LIMIT])
def test_messages_of_every_size_of_length_field_arrive(peer: Peer, size: int) -> None:
    peer.write(frame(FIN | TEXT, padded(size)))
    peer.hear("heartbeat_ack")
    peer.drip(frame(FIN | TEXT, padded(size)), 997)
    peer.hear("heartbeat_ack")
    peer.write(frame(FIN | BINARY, b"\xfe" * size))
    assert peer.hear("error")["data"]["code"] == "invalid_format"


def test_empty_messages_and_every_byte_by_itself(peer: Peer) -> None:
    for opcode in (TEXT, BINARY):
        peer.write(frame(FIN | opcode))
        assert peer.hear("error")["data"]["code"] == "invalid_format"
    peer.drip(frame(FIN | TEXT, echo(HELLO)))
    assert echoed(peer) == HELLO


def test_a_length_in_more_bytes_than_it_needs_is_understood(peer: Peer) -> None:
    for width in (16, 64):
        peer.write(frame(FIN | TEXT, echo(HELLO), width=width))
        assert echoed(peer) == HELLO


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x80\x00\xfe"])
def test_any_mask_is_taken_off(peer: Peer, mask: bytes) -> None:
    for size in range(8):
        text = HELLO + "z" * size
        peer.write(frame(FIN | TEXT, echo(text), mask=mask))
        assert echoed(peer) == text


# 2: pings and pongs


def test_pings_are_answered_with_their_payload_and_in_order(peer: Peer) -> None:
    for payload in (b"", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125):
        peer.write(frame(FIN | PING, payload))
        assert peer.pong() == payload
        peer.drip(frame(FIN | PING, payload))
        assert peer.pong() == payload
    peer.write(*(frame(FIN | PING, b"%d" % n) for n in range(10)))
    assert [peer.pong() for _ in range(10)] == [b"%d" % n for n in range(10)]


def test_pongs_that_nobody_asked_for_are_ignored(peer: Peer) -> None:
    peer.write(frame(FIN | PONG), frame(FIN | PONG, b"unsolicited"), frame(FIN | PING, b"asked"))
    assert peer.frame()[0:2] == (PONG, b"asked")


# 3 to 5: bits, opcodes, fragments that are wrong. Each comes behind a good message, which has to be answered first.

START = frame(TEXT, b"frag")
WRONG = {
    "unmasked": frame(FIN | TEXT, b"{}", mask=None),
    "unmasked ping": frame(FIN | PING, b"", mask=None),
    "ping of 126": frame(FIN | PING, b"x" * 126),
    "pong of 126": frame(FIN | PONG, b"x" * 126),
    "close of 126": frame(FIN | CLOSE, struct.pack("!H", 1000) + b"x" * 124),
    "ping in two parts": frame(PING, b"a") + frame(FIN, b"b"),
    "pong in two parts": frame(PONG, b"a") + frame(FIN, b"b"),
    "close in two parts": frame(CLOSE, struct.pack("!H", 1000)) + frame(FIN, b"b"),
    "continuation of nothing": frame(FIN, b"x"),
    "open continuation of nothing": frame(0, b"x"),
    "continuation after a whole message": frame(FIN | TEXT, say("heartbeat")) + frame(FIN, b"x"),
    "text inside a text": START + frame(FIN | TEXT, b"x"),
    "binary inside a text": START + frame(BINARY, b"x"),
    "length with the highest bit": frame(FIN | TEXT, size=1 << 63, width=64),
    "RSV1 on a continuation": START + frame(FIN | RSV1, b"x"),
} | {
    f"RSV {bits} on opcode {opcode}": frame(FIN | bits << 4 | opcode, b"" if opcode & 8 else b"x")
    for bits in range(1, 8) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
} | {f"opcode {opcode}": frame(FIN | opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}  # fmt: skip


@pytest.mark.parametrize("wire", WRONG.values(), ids=WRONG.keys())
def test_a_broken_frame_ends_with_1002_after_what_was_good(daemon: Daemon, wire: bytes) -> None:
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | TEXT, echo("before")), wire, frame(FIN | PING, b"after"))
        assert echoed(peer) == "before"
        assert peer.closed()[0] == 1002


@pytest.mark.parametrize("name", ["RSV 1 on opcode 9", "RSV 1 on opcode 8", "RSV 2 on opcode 1", "RSV 5 on opcode 1", "RSV1 on a continuation"])
def test_compression_gives_a_meaning_to_no_other_bit(daemon: Daemon, name: str) -> None:
    with open_peer(daemon, "permessage-deflate") as peer:
        peer.drip(WRONG[name])
        assert peer.closed()[0] == 1002


def test_fragments_of_every_size(peer: Peer) -> None:
    text = echo(HELLO * 8)
    for size in (16, 17, 18, 19, 50, len(text)):
        peer.write(*fragments(TEXT, pieces(text, size)))
        assert echoed(peer) == HELLO * 8


def test_control_frames_between_fragments(peer: Peer) -> None:
    text = echo(HELLO * 8)
    parts = fragments(TEXT, pieces(text, 40))
    for n, part in enumerate(parts):
        peer.write(frame(FIN | PING, b"%d" % n), frame(FIN | PONG))
        peer.drip(part, 5)
        assert peer.pong() == b"%d" % n
    assert echoed(peer) == HELLO * 8
    peer.write(*fragments(TEXT, [b"", text, b"", b""]))
    assert echoed(peer) == HELLO * 8
    peer.write(*fragments(TEXT, [b""] * 3))
    assert peer.hear("error")["data"]["code"] == "invalid_format"


def test_close_between_two_fragments_is_answered(peer: Peer) -> None:
    peer.write(START, frame(FIN | CLOSE, struct.pack("!H", 1001)))
    assert peer.closed()[0] == 1001


# 6: UTF-8

VALID = ["κόσμε", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "\U0003ffff", "\U0010ffff", "\ufeffx", "𝄞"]
INVALID = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\x80", b"\xbf",
    b"\x80\xbf\x80", b"\xc0 \xc1 ", b"\xe0 \xef ", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
    b"\xc3(", b"\xe2(\xa1", b"\xe2\x82(", b"\xf0(\x8c\xbc", b"\xf0\x9f\x98(",
]  # fmt: skip
CUT_OFF = [b"\xce", b"\xe1\xbd", b"\xf0\x9f", b"\xf0\x9f\x98", b"ok \xe2\x82"]


def test_every_character_arrives_however_it_is_cut(daemon: Daemon) -> None:
    for text in VALID:
        with open_peer(daemon) as peer:
            wire = echo(f"<{text}>")
            peer.write(frame(FIN | TEXT, wire))
            assert echoed(peer) == f"<{text}>"
            at = wire.index(b"<") + 1
            inside = [wire[:at], *pieces(wire[at:-4], 1), wire[-4:]]
            peer.write(*fragments(TEXT, inside))
            assert echoed(peer) == f"<{text}>"


@pytest.mark.parametrize("text", INVALID + CUT_OFF)
def test_invalid_utf8_ends_with_1007(daemon: Daemon, text: bytes) -> None:
    whole = b'{"type":"' + text
    for wire in ([frame(FIN | TEXT, whole)], fragments(TEXT, pieces(whole, 1)), fragments(TEXT, [whole, b""])):
        with open_peer(daemon) as peer:
            peer.write(*wire)
            assert peer.closed()[0] == 1007
    with open_peer(daemon, "permessage-deflate") as peer:
        peer.write(*fragments(TEXT, pieces(squeeze(whole), 3), RSV1))
        assert peer.closed()[0] == 1007
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | CLOSE, struct.pack("!H", 1000) + text))
        assert peer.closed()[0] == 1007
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | BINARY, whole))
        assert peer.hear("error")["data"]["code"] == "invalid_format"


@pytest.mark.parametrize("text", INVALID)
def test_invalid_utf8_is_not_waited_out(daemon: Daemon, text: bytes) -> None:
    with open_peer(daemon) as peer:
        peer.write(frame(TEXT, b'{"type":"'), frame(0, text))
        assert peer.closed()[0] == 1007


# 7: the closing handshake


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def test_a_close_code_is_given_back(daemon: Daemon, code: int) -> None:
    for reason in (b"", b"bye", "grüß dich".encode(), b"*" * 123):
        with open_peer(daemon) as peer:
            peer.write(frame(FIN | CLOSE, struct.pack("!H", code) + reason))
            assert peer.closed()[0] == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_a_code_that_may_not_be_sent_is_an_error(daemon: Daemon, code: int) -> None:
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | CLOSE, struct.pack("!H", code)))
        assert peer.closed()[0] == 1002


def test_close_without_a_code_and_with_half_a_code(daemon: Daemon) -> None:
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | CLOSE))
        assert peer.closed()[0] is None
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | CLOSE, b"\x03"))
        assert peer.closed()[0] == 1002


@pytest.mark.parametrize("after", [frame(FIN | CLOSE, struct.pack("!H", 1001)), frame(FIN | PING, b"?"), frame(FIN | TEXT, echo("late")), b"garbage" * 9_999])
def test_nothing_counts_after_a_close(daemon: Daemon, after: bytes) -> None:
    with open_peer(daemon) as peer:
        peer.write(frame(FIN | TEXT, echo("first")), frame(FIN | CLOSE, struct.pack("!H", 1000)) + after)
        assert echoed(peer) == "first"
        assert peer.closed()[0] == 1000


# 9: limits


@pytest.mark.parametrize("wire", [
    frame(FIN | TEXT, padded(LIMIT + 1)), frame(FIN | BINARY, b"x" * (LIMIT + 1)), frame(FIN | TEXT, size=LIMIT + 1),
    frame(FIN | TEXT, size=1 << 62, width=64), b"".join(fragments(TEXT, [b"x" * LIMIT, b"x"])),
    b"".join(fragments(TEXT, pieces(b"x" * LIMIT * 2, 1_000))), frame(FIN | TEXT, padded(8_000_000)),
])  # fmt: skip
def test_a_message_over_the_limit_ends_with_1009(daemon: Daemon, wire: bytes) -> None:
    with open_peer(daemon) as peer:
        peer.write(wire)
        assert peer.closed()[0] == 1009


def test_a_message_of_the_limit_may_come_in_fragments(peer: Peer) -> None:
    peer.write(*fragments(TEXT, pieces(padded(LIMIT), 1_300)))
    peer.hear("heartbeat_ack")


def test_connections_that_come_and_go_leave_nothing(daemon: Daemon) -> None:
    before = daemon.metric("qflowd_process_open_fds")
    for _ in range(200):
        with open_peer(daemon) as peer:
            peer.write(frame(FIN | CLOSE))
            assert peer.closed()[0] is None
    until(lambda: daemon.metric("qflowd_clients") == 0 and daemon.metric("qflowd_process_open_fds") <= before + 1)


# 12 and 13: compression

OFFERS = {
    "permessage-deflate": 15,
    "permessage-deflate; client_max_window_bits": 15,
    "permessage-deflate; client_max_window_bits=9": 15,
    "permessage-deflate; client_no_context_takeover": 15,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": 15,
    "permessage-deflate; server_max_window_bits=10": 10,
    "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15": 10,
    "permessage-deflate; server_max_window_bits=9": None,
    "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12": 10,
    "permessage-deflate; server_max_window_bits=7": None,
    "permessage-deflate; server_max_window_bits": None,
    "permessage-deflate; nonsense, permessage-deflate": 15,
    "x-webkit-deflate-frame": None,
    "permessage-deflate;;;": None,
    ";,=\"": None,
}  # fmt: skip


@pytest.mark.parametrize(("offer", "window"), OFFERS.items())
def test_what_is_offered_and_what_is_agreed(daemon: Daemon, offer: str, window: int | None) -> None:
    with open_peer(daemon, offer) as peer:
        assert peer.window == window
        for size in (16, 64, 200):
            text = "".join(random.Random(size).choices("abc{}\"é", k=size))
            wire = echo(text)
            peer.write(frame(FIN | TEXT | RSV1, squeeze(wire, 9)) if window else frame(FIN | TEXT, wire))
            assert echoed(peer) == text
        peer.say("subscribe", {"streams": ["performance_metrics", "system_health"]})
        assert peer.hear("stream_update")["data"]


@pytest.mark.parametrize("size", [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, LIMIT])
def test_compressed_messages_of_every_size(daemon: Daemon, size: int) -> None:
    with open_peer(daemon, "permessage-deflate; client_max_window_bits") as peer:
        wire = padded(max(size, 32))
        for number in range(20):
            pressed = squeeze(wire, 9 + number % 7)
            peer.write(*fragments(TEXT, pieces(pressed, max(1, len(pressed) // (1 + number % 4))), RSV1))
            if number % 2:
                peer.write(frame(FIN | PING, b"between"))
        for _ in range(20):
            peer.hear("heartbeat_ack")


def test_compressed_and_plain_messages_may_alternate_and_final_blocks_are_read(daemon: Daemon) -> None:
    with open_peer(daemon, "permessage-deflate") as peer:
        peer.write(frame(FIN | TEXT, echo("plain")), frame(FIN | TEXT | RSV1, squeeze(echo("pressed"))), frame(FIN | TEXT, echo("plain")))
        assert [echoed(peer) for _ in range(3)] == ["plain", "pressed", "plain"]
        # RFC 7692, section 7.2.3: a block that is not compressed, one that is marked as the last, two blocks, and an empty message.
        text = echo("stored")
        peer.write(frame(FIN | TEXT | RSV1, b"\x00" + struct.pack("<HH", len(text), len(text) ^ 0xFFFF) + text + b"\x00"))
        assert echoed(peer) == "stored"
        last = zlib.compressobj(wbits=-15)
        peer.write(frame(FIN | TEXT | RSV1, last.compress(echo("last block")) + last.flush() + b"\x00"))
        assert echoed(peer) == "last block"
        peer.write(frame(FIN | TEXT | RSV1, bytes.fromhex("f348cdc9c9070000")))  # the RFC's own: Hello
        assert peer.hear("error")["data"]["code"] == "invalid_format"
        two = zlib.compressobj(wbits=-15)
        whole = echo("two blocks")
        wire = two.compress(whole[:9]) + two.flush(zlib.Z_SYNC_FLUSH) + two.compress(whole[9:]) + two.flush(zlib.Z_SYNC_FLUSH)
        peer.write(frame(FIN | TEXT | RSV1, wire[:-4]))
        assert echoed(peer) == "two blocks"
        peer.write(frame(FIN | TEXT | RSV1, b"\x00"))
        assert peer.hear("error")["data"]["code"] == "invalid_format"


@pytest.mark.parametrize(("payload", "code"), [
    (b"\xff\xff\xff\xff", 1007), (b"", 1007), (b"\x07", 1007), (squeeze(say("heartbeat"))[:-2], 1007), (squeeze(say("heartbeat"))[:9], 1007), (squeeze(b"x" * 99)[:-3] + b"\x06\x06", 1007), (squeeze(b" " * (LIMIT + 1)), 1009),
    (squeeze(b" " * 50_000_000), 1009), (squeeze(b"\xff"), 1007), (squeeze(b"{}") + b"trailing" * 99, 1007),
])  # fmt: skip
def test_undecodable_data_and_bombs(daemon: Daemon, payload: bytes, code: int) -> None:
    began = time.monotonic()
    with open_peer(daemon, "permessage-deflate") as peer:
        peer.write(*fragments(TEXT, pieces(payload, 30_000), RSV1))
        assert peer.closed()[0] == code
    assert time.monotonic() - began < 5


def test_a_client_that_keeps_its_window_is_told_and_not_misread(daemon: Daemon) -> None:
    with open_peer(daemon, "permessage-deflate") as peer:
        assert "client_no_context_takeover" in peer.head
        keeps = zlib.compressobj(wbits=-15)
        for number in range(2):
            wire = keeps.compress(echo("the same words")) + keeps.flush(zlib.Z_SYNC_FLUSH)
            peer.write(frame(FIN | TEXT | RSV1, wire[:-4]))
            if not number:
                assert echoed(peer) == "the same words"
        assert peer.closed()[0] == 1007


# The opening handshake

GOOD = {
    "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


def shake(daemon: Daemon, line: str = "GET / HTTP/1.1", **headers: str | None) -> str:
    host, port = daemon.addresses["websocket"].rsplit(":", 1)
    given = {**GOOD, "Host": f"{host}:{port}", **{key.replace("_", "-"): value for key, value in headers.items()}}
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall((line + "\r\n" + "".join(f"{key}: {value}\r\n" for key, value in given.items() if value is not None) + "\r\n").encode())
        return raw.recv(65_536).decode(errors="replace")


def test_the_opening_handshake_is_held_to_the_letter(daemon: Daemon) -> None:
    good = shake(daemon)
    assert good.startswith("HTTP/1.1 101 ") and "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in good
    assert shake(daemon, Upgrade="WebSocket", Connection="upgrade").startswith("HTTP/1.1 101 ")
    for headers in (
        {"Upgrade": None}, {"Upgrade": "h2c"}, {"Connection": "close"}, {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": "AAAA"}, {"Sec_WebSocket_Key": "=" * 24}, {"Sec_WebSocket_Key": "é"},
    ):  # fmt: skip
        assert shake(daemon, **headers).startswith("HTTP/1.1 400 "), headers
    for version in ("8", "0", "14", "x", None):
        answer = shake(daemon, Sec_WebSocket_Version=version)
        assert answer.startswith("HTTP/1.1 426 ") and "Sec-Websocket-Version: 13\r\n" in answer, answer
    assert shake(daemon, "POST / HTTP/1.1", Content_Length="0").startswith("HTTP/1.1 405 ")
    assert not shake(daemon, "GET / HTTP/1.0").startswith("HTTP/1.1 101 ")
    assert shake(daemon, "GET /nowhere HTTP/1.1").startswith("HTTP/1.1 404 ")
    assert "101" not in shake(daemon, "GET / HTTP/9.9")


def test_messages_may_follow_the_handshake_at_once(daemon: Daemon) -> None:
    host, port = daemon.addresses["websocket"].rsplit(":", 1)
    head = "GET / HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in {**GOOD, "Host": f"{host}:{port}"}.items()) + "\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(head.encode() + frame(FIN | TEXT, say("heartbeat")) + frame(FIN | CLOSE))
        everything = b""
        while got := raw.recv(65_536):
            everything += got
    assert b"heartbeat_ack" in everything and everything.endswith(b"\x88\x00")
    assert json.loads(everything[everything.rindex(b'{"type":"heartbeat_ack"') : -2])
