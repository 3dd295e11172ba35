"""What a channel is: the interface of the modules in ``channels``, the options that all of them have, and how a kind is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec

from qflowd.model.notification import Notification
from qflowd.notify.outcome import Outcome

DURATION = "^([0-9]{1,12}(\\.[0-9]+)?(ms|s|m|h|d|w))+$"


def about(text: str, **more: Any) -> msgspec.Meta:
    """What an option is for, and what its schema has beside its type."""
    return msgspec.Meta(description=text, extra_json_schema=more or None)


def duration(text: str) -> msgspec.Meta:
    """An option written as ``5s`` and kept as milliseconds."""
    return about(text, **{"type": "string", "x-kind": "duration", "pattern": DURATION})


def file(text: str) -> msgspec.Meta:
    """An option that names a file that holds a secret; relative to the configuration."""
    return about(text, **{"x-kind": "path"})


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every channel may be told. Durations are milliseconds."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=32), about("Messages under way at one time.")] = 1
    timeout: Annotated[int, duration("How long one attempt may take.")] = 10_000
    give_up_after: Annotated[int, duration("How long a message is tried before it is a dead letter.")] = 259_200_000


class ChannelError(Exception):
    """The channel cannot be used as it is configured; ``path`` names the option."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Channel(Protocol):
    """Takes notifications to where people read them."""

    async def send(self, notification: Notification, now: int) -> Outcome:
        """One attempt at ``now`` (epoch ms). Whatever is raised counts as an attempt worth another; a time limit is set around it."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What a channel may know of the daemon. ``instance`` names it to people; ``url`` is where its page is, if that is known."""

    instance: str = "qflowd"
    url: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of channel: its options, and what makes a channel of them. ``make`` raises ``ChannelError``."""

    options: type[Options]
    make: Callable[[Any, Surroundings], Channel]
    schema: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        found = msgspec.json.schema(self.options)
        if "$ref" in found:
            found = found["$defs"][found["$ref"].rpartition("/")[2]]
        found["properties"] = {key: _plain(rule) for key, rule in found["properties"].items()}
        object.__setattr__(self, "schema", found)


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """A property as the configuration's schema writes it: durations are texts, a value that may be missing has two types."""
    if "anyOf" in rule:
        rule = {key: value for key, value in rule.items() if key != "anyOf"} | {"type": [one["type"] for one in rule["anyOf"]]}
    if rule.get("x-kind") == "duration":
        rule = rule | {"type": "string", "default": _shown(rule["default"])}
    return rule


def _shown(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def secret(path: str, option: str) -> str:
    """The text of a file of a secret, without the white space around it. Raises ``ChannelError``."""
    try:
        text = Path(path).read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise ChannelError(option, f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ChannelError(option, f"{path} cannot be read: {error.strerror}") from None
    if not text:
        raise ChannelError(option, f"{path} is empty")
    return text
