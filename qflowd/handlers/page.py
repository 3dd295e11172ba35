"""The web page and its assets, from the package, sent compressed where the browser takes it."""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
from pathlib import Path

from qflowd.handlers.base import Handler, ProblemError

STATIC = Path(__file__).parents[1] / "static"


@functools.lru_cache(maxsize=64)
def asset(name: str, changed: int) -> tuple[bytes, bytes, str, str]:
    """An asset: plain, gzipped, content type, ETag. ``changed`` keys the cache, so that a new build is seen."""
    body = (STATIC / name).read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind.endswith(("javascript", "json")):
        kind += "; charset=utf-8"
    return body, gzip.compress(body, 9, mtime=0), kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"'


class Asset(Handler):
    """One built file."""

    roles = {"GET": "open"}

    def get(self, name: str) -> None:
        self.send(name)

    def send(self, name: str) -> None:
        path = (STATIC / name).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            raise ProblemError(404, "there is no such file; is the page built? (make page)")
        body, packed, kind, tag = asset(str(path.relative_to(STATIC)), path.stat().st_mtime_ns)
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Vary", "Accept-Encoding")
        if name == "shell.js":
            # The service worker keeps the page, which lies above its own folder.
            self.set_header("Service-Worker-Allowed", "/dashboard")
        self.set_header("ETag", tag)
        if self.request.headers.get("If-None-Match") == tag:
            self.set_status(304)
            self.finish()
            return
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            body = packed
        self.finish(body)


class Dashboard(Asset):
    """The page itself; it asks the API for all it shows, so it needs no role of its own."""

    roles = {"GET": "open"}

    def get(self, name: str = "index.html") -> None:
        self.send("index.html")


class Root(Handler):
    roles = {"GET": "open"}

    def get(self) -> None:
        self.redirect("/dashboard")
