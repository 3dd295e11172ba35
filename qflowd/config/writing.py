"""Values as YAML that is read back as it was written, by the 1.2 core rules and by readers of YAML 1.1."""

from __future__ import annotations

from typing import Any

import yaml

from qflowd.config.document import CoreLoader


class _CoreDumper(yaml.SafeDumper):
    """Quotes what either version would take for something other than text."""


for _first, _resolvers in CoreLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        _CoreDumper.add_implicit_resolver(_tag, _pattern, None if _first is None else [_first])


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_CoreDumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """``value`` (mappings, lists, scalars) in block style, keys in the order they have."""
    return yaml.dump(value, Dumper=_CoreDumper, sort_keys=False, allow_unicode=True, width=120)
