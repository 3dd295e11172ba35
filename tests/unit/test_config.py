from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from qflowd.config import ConfigError, diff_restart, load, public_view
from qflowd.config.check import schema
from qflowd.config.document import read
from qflowd.model import Problem, Rule
from qflowd.notify.channels import schemas
from qflowd.units import duration, size

SHIPPED = Path(__file__).parents[2] / "etc" / "qflowd.yaml"


class RuleError(Exception):
    def __init__(self, problems):
        self.problems = problems


def parse_rule(mapping, source, *, channels):
    if "condition" not in mapping:
        raise RuleError([Problem("condition", "is missing")])
    if mapping["condition"] == "bad":
        raise RuleError([Problem("condition", "does not parse")])
    warnings = ["sms is not configured"] if "sms" in mapping.get("channels", []) else []
    return Rule(id=mapping["id"], name=mapping["id"], condition=mapping["condition"], source=source), warnings


def loaded(tmp_path, text="", overrides=(), **environment):
    file = tmp_path / "q.yaml"
    file.write_text(text)
    return load(file, overrides, parse_rule=parse_rule, channels=schemas(), environment=environment)


def mistakes(tmp_path, text, overrides=(), **environment):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, overrides, **environment)
    return [(m.line, m.path, m.message) for m in caught.value.mistakes]


def test_shipped_file_is_the_defaults_and_lists_every_key(tmp_path):
    def keys(rule):
        return {key: keys(below) for key, below in rule["properties"].items()} if rule.get("properties") else None

    def shape(value, rule):
        return {key: shape(value[key], rule["properties"][key]) for key in value} if rule.get("properties") else None

    assert shape(yaml.safe_load(SHIPPED.read_text()), schema()) == keys(schema())
    assert loaded(tmp_path, SHIPPED.read_text()).config == loaded(tmp_path).config


def test_defaults_units_and_relative_paths(tmp_path):
    config = loaded(tmp_path, "storage: {path: state}\nwebsocket: {update_interval: 1m30s, client_buffer: 1MiB}\n").config
    assert config.storage.path == tmp_path / "state" and config.alerts.rules_dir == tmp_path / "rules.d"
    assert (config.websocket.update_interval, config.websocket.client_buffer) == (90_000, 1 << 20)
    assert config.storage.retention.series["1h"] == 730 * 86_400_000


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("server:\n  prot: 1\n", 2, "server.prot", "did you mean port?"),
        ("server:\n  port: 1\n  port: 2\n", 3, "server.port", "first on line 2"),
        ("server:\n\n  port: x\n", 3, "server.port", 'must be a whole number, not "x"'),
        ("server: {port: 70000}\n", 1, "server.port", "must be 0 to 65535, not 70000"),
        ("sampling:\n  interval: 5\n", 2, "sampling.interval", "such as 5s or 1h30m, not 5"),
        ("sampling:\n  interval: 1ms\n", 2, "sampling.interval", "at least 100ms"),
        ("logging:\n  level: loud\n", 2, "logging.level", "must be one of debug"),
        ("logging:\n  level: off\n", 2, "logging.level", 'not "off"'),
        ("server:\n  tls: {key: x}\n", 2, "server.tls", "not supported by this version"),
        ("slos: [1]\n", 1, "slos", "not supported by this version"),
        ("channels:\n  a:\n    type: carrier-pigeon\n", 3, "channels.a.type", "must be one of dashboard, webhook, not \"carrier-pigeon\""),
        ("server:\n  address: 0.0.0.0\n", 2, "server.address", "i_understand: true"),
        ("websocket:\n  port: 8080\n", 2, "websocket.port", "choose another"),
        ("server:\n  instance: ${NOPE}\n", 2, "server.instance", "NOPE is not set"),
        ("alerts:\n  rules_dir: nowhere\n", 2, "alerts.rules_dir", "does not exist"),
        ("alerts:\n  rules:\n    - id: a\n      condition: bad\n", 4, "alerts.rules[0].condition", "does not parse"),
        ("- 1\n", 1, "", "must be a mapping"),
        ("server: [\n", 2, "", "not YAML"),
        ("a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", 1, "a", "unknown key"),
        ("server: &s\n  tls: *s\n", 1, None, "too many or too deep"),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(tmp_path, text, line, path, words):
    found = mistakes(tmp_path, text)[0]
    assert found[0] == line and words in found[2]
    assert path is None or found[1] == path


def test_all_mistakes_are_told_at_once_one_a_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "server: {port: -1}\nfoo: 1\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and all(line.startswith(f"{tmp_path}/q.yaml:") for line in lines)


def test_empty_sections_of_later_versions_are_accepted(tmp_path):
    text = "server: {tls: {}}\nslos: []\nadaptive: {mode: suggest, policies: []}\nalerts: {routes: {}}\nsources: {}\n"
    assert loaded(tmp_path, text).config.adaptive.mode == "suggest"
    assert mistakes(tmp_path, "adaptive: {mode: auto}")[0][1] == "adaptive.mode"


def test_environment_and_overrides(tmp_path):
    text = "server:\n  port: '${P}'\n  instance: a$${b}\n"
    assert mistakes(tmp_path, text, P="81")[0][1] == "server.port"
    config = loaded(tmp_path, text.replace("'", ""), ["websocket.max_clients=10000", "storage.path=/x"], P="81").config
    assert (config.server.port, config.server.instance) == (81, "a${b}")
    assert config.websocket.max_clients == 10000 and str(config.storage.path) == "/x"
    assert mistakes(tmp_path, "", ["websocket.max_client=1"])[0][2].endswith("did you mean max_clients?")
    assert "key=value" in mistakes(tmp_path, "", ["nonsense"])[0][2]


def test_listening_openly(tmp_path):
    for auth in ("{mode: tokens}", "{mode: none, i_understand: true}"):
        assert loaded(tmp_path, f"server: {{address: 0.0.0.0}}\nauth: {auth}\n").config.server.address == "0.0.0.0"
    assert loaded(tmp_path, "server: {address: '::1'}\n").config.server.address == "::1"


def test_rules_of_files(tmp_path):
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "b.yaml").write_text("rules:\n  - {id: b, condition: x, channels: [sms]}\n")
    (tmp_path / "rules.d" / "c.yaml").write_text("- {id: c, condition: 'a =~ \"${x}\"'}\n")
    result = loaded(tmp_path, "alerts:\n  rules:\n    - {id: a, condition: x}\n")
    assert [(rule.id, rule.source.line) for rule in result.rules] == [("a", 3), ("b", 2), ("c", 1)]
    assert len(result.files) == 3 and "sms is not configured" in result.warnings[0]
    (tmp_path / "rules.d" / "d.yaml").write_text("rules: []\nother: 1\n")
    (tmp_path / "rules.d" / "e.yaml").write_text("\n- {id: a, condition: x}\n")
    found = mistakes(tmp_path, "alerts:\n  rules:\n    - {id: a, condition: x}\n")
    assert "Prometheus" in found[0][2] and f"{tmp_path}/q.yaml:3" in found[1][2] and found[1][0] == 2


def test_core_rules_of_yaml_1_2():
    value = read("[off, yes, 22:00, 0o17, 017, 1_000, 1e3, ~, true, 2026-01-01, .5]", "f", {}).value
    assert value == ["off", "yes", "22:00", 15, 17, "1_000", 1000.0, None, True, "2026-01-01", 0.5]


def test_odd_but_right_numbers(tmp_path):
    text = "server: {port: 8081.0}\nwebsocket: {client_buffer: 1e20}\nsampling:\n  interval: |\n    5s\n"
    config = loaded(tmp_path, text).config
    assert type(config.server.port) is int and config.sampling.interval == 5000
    assert config.websocket.client_buffer == 10**20


def test_units():
    assert duration("1h30m") == 5_400_000 and duration("1.5s") == 1500 and size("64MiB") == 64 << 20 and size(5) == 5
    for call in (lambda: duration("5"), lambda: size("5 parsecs")):
        with pytest.raises(ValueError):
            call()


def test_restart_and_public_view(tmp_path):
    old = loaded(tmp_path).config
    new = loaded(tmp_path, "server: {port: 1}\nwebsocket: {max_clients: 5}\nchannels: {d: {type: dashboard}}\n").config
    assert diff_restart(old, new) == ["server.port"]
    view = public_view(new)
    assert json.loads(json.dumps(view))["channels"] == {"d": {"type": "dashboard"}}
