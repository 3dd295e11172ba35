from __future__ import annotations

import pytest

from qflowd.security import origin, roles, tokens

KEY = b"k" * 32

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def test_tokens_are_known_until_they_expire():
    token, record = tokens.create(KEY, "ci", ["source"], 1000, expires=2000)
    assert token.startswith("qfd_") and len(token) == 47 and token not in repr(record)
    assert tokens.verify(KEY, token, [record], 1999) == record
    assert tokens.verify(KEY, token, [record], 2000) is None
    assert tokens.verify(b"x" * 32, token, [record], 1500) is None
    assert tokens.verify(KEY, token + "x", [record], 1500) is None and tokens.verify(KEY, "é", [record], 1) is None
    assert "hash" not in record.view() and record.view()["lastUsed"] is None
    later = tokens.used(record, 1500)
    assert later and later.last_used == 1500 and tokens.used(later, 1600) is None


@pytest.mark.parametrize(
    ("name", "given", "expires"),
    [("", ["admin"], None), ("a", ["king"], None), ("a", [], None), ("a", ["admin"], 5)],
)
def test_bad_tokens_are_refused(name, given, expires):
    with pytest.raises(tokens.TokenError):
        tokens.create(KEY, name, given, 10, expires=expires)


def test_bearer():
    assert tokens.bearer("Bearer abc") == "abc" and tokens.bearer("bearer  abc ") == "abc"
    assert tokens.bearer("Basic abc") is None and tokens.bearer(None) is None and tokens.bearer("Bearer ") is None


def test_server_key_is_kept_and_guarded(tmp_path):
    key = tokens.server_key(tmp_path)
    path = tmp_path / tokens.KEY_FILE
    assert len(key) == 32 and tokens.server_key(tmp_path) == key and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(tokens.TokenError, match="chmod 600"):
        tokens.server_key(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(tokens.TokenError, match="damaged"):
        tokens.server_key(tmp_path)


def test_roles():
    assert roles.allows(["operator"], "viewer") and not roles.allows(["viewer"], "operator")
    assert roles.allows(["admin"], "source") and roles.allows(["source"], "source")
    assert not roles.allows(["source"], "viewer") and not roles.allows(["engine"], "source") and not roles.allows([], "viewer")
    with pytest.raises(ValueError):
        roles.allows(["admin"], "king")


@pytest.mark.parametrize(
    ("header", "good"),
    [("localhost:8080", True), ("LOCALHOST:9090", True), ("[::1]:8080", True), ("localhost:1", False),
     ("evil.example:8080", False), ("localhost", False), ("", False), (None, False), ("mon.example", True),
     ("a@localhost:8080", False),
     ("localhost:x", False)],
)
def test_host(header, good):
    assert origin.host_allowed(header, LOOPBACK, [8080, 9090], ["mon.example"]) is good


def test_origins():
    own = origin.own_origins(LOOPBACK, [8080, 9090])
    assert origin.origin_allowed("http://localhost:8080", own) and origin.origin_allowed("http://[::1]:9090", own)
    assert origin.origin_allowed(None, own) and origin.origin_allowed("https://a.example", own, ["https://a.example:443"])
    for bad in ("null", "http://evil.example", "http://localhost:1", "file://", "http://localhost:8080.evil.example"):
        assert not origin.origin_allowed(bad, own)
    assert origin.cross_site({"Sec-Fetch-Site": "cross-site"}, own) and origin.cross_site({"Origin": "null"}, own)
    assert not origin.cross_site({}, own) and not origin.cross_site({"Sec-Fetch-Site": "same-origin"}, own)
