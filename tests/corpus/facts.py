"""Reads Prometheus's test scripts and writes their facts: ``python -m tests.corpus.facts CHECKOUT [COMMIT]``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qflowd.series.history import History
from qflowd.series.promql import PromQLError, compile

COMMIT = "d15adb9ad7e5d9fbde3a9a8f30200593a5a14d86"
FOLDER = "promql/promqltest/testdata"
FILES = (
    "operators", "functions", "aggregators", "selectors", "staleness", "subquery", "at_modifier", "name_label_dropping", "literals",
    "range_queries", "trig_functions", "collision",
)  # fmt: skip
FACTS = Path(__file__).with_name("promql.jsonl")
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
LABEL = re.compile(r"""\s*("(?:\\.|[^"\\])*"|[\w.:]+)\s*(?:=\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`))?\s*,?""")
EVAL = re.compile(
    r"eval(?P<mode>_\w+)?\s+(?:instant\s+(?:at\s+(?P<at>\S+))?|range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))\s*(?P<query>.*)"
)
RANGE = re.compile(r"expect range vector from (\S+) to (\S+) step (\S+)")


def milliseconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("-")
    if re.fullmatch(r"[\d.]+", text):
        return sign * round(float(text) * 1000)
    return sign * sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return str(json.loads('"' + re.sub(r"\\'", "'", text[1:-1]).replace("\t", "\\t") + '"'))


def series(line: str) -> tuple[dict[str, str], str]:
    """``name{label="value"} values`` in its parts."""
    found = re.match(r"\s*([A-Za-z_:][\w:.]*)?", line)
    assert found is not None
    labels = {"__name__": found[1]} if found[1] else {}
    rest = line[found.end() :].lstrip()
    if rest.startswith("{") and not rest.startswith("{{"):
        rest = rest[1:]
        while not rest.lstrip().startswith("}"):
            one = LABEL.match(rest)
            assert one is not None, line
            name = unquoted(one[1]) if one[1].startswith('"') else one[1]
            if one[2] is None:
                labels["__name__"] = name
            else:
                labels[name] = unquoted(one[2])
            rest = rest[one.end() :]
        rest = rest.lstrip()[1:]
    return labels, rest.strip()


def expanded(values: str) -> list[float | str | None]:
    """Each point: a number, ``stale``, or None where there is none."""
    found: list[float | str | None] = []
    for word in values.split():
        times = re.fullmatch(r"(.+?)x(\d+)", word)
        body, count = (times[1], int(times[2])) if times else (word, 0)
        step = re.fullmatch(r"([-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|Inf|NaN|0x[\da-f]+))([-+][\d.]+(?:e[-+]?\d+)?)?", body, re.I)
        if body == "_":
            found += [None] * max(count, 1)
        elif body == "stale":
            found += ["stale"] * (count + 1)
        elif step is not None:
            value = float(step[1])
            for _ in range(count + 1):
                found.append(value)
                value += float(step[2]) if step[2] else 0
        else:
            found += [float(body)] * (count + 1)
    return found


def blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Commands with the indented lines that follow them."""
    current: tuple[int, list[str]] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if re.match(r"(load|clear|eval)", bare) and (not line[0].isspace() or re.match(r"(clear$|eval|load )", bare)):
            if current is not None:
                yield current
            current = (number, [bare])
        elif current is not None:
            current[1].append(bare)
    if current is not None:
        yield current


def outcome(lines: list[str], case: dict[str, Any], instant: bool) -> bool:
    """Adds what has to come out; false where that is a native histogram."""
    rows = []
    for line in lines:
        if found := RANGE.match(line):
            case["points"] = [milliseconds(found[1]), milliseconds(found[3])]
        elif line.startswith("expect string"):
            case["string"] = unquoted(line.removeprefix("expect string").strip())
        elif line.startswith(("expect fail", "expected_fail")):
            case["fails"] = True
        elif re.match(r"expect (no_)?(warn|info)\b", line):
            kind = re.match(r"expect (no_)?(warn|info)\b", line)
            assert kind is not None
            case[kind[2]] = not kind[1]
        elif line.startswith("expect ordered"):
            case["ordered"] = True
        elif "{{" in line:
            return False
        else:
            rows.append(line)
    if case.get("fails") or "string" in case:
        return True
    if instant and "points" not in case:
        if len(rows) == 1 and re.fullmatch(r"[-+\w.]+", rows[0]) and re.match(r"[-+.\d]|nan|inf", rows[0], re.I):
            case["scalar"] = str(float(rows[0]))
            return True
        case["vector"] = [[labels, str(float(value))] for labels, value in map(series, rows)]
        return True
    case["matrix"] = [list(series(row)) for row in rows]
    return True


def reads(query: str, histograms: History) -> bool:
    """Whether the query reads a native histogram."""
    try:
        return any(histograms.select(one.name, one.matchers) for one in compile(query, whole=True).inputs.reads)
    except PromQLError:
        return any(re.search(rf"(?<![\w:]){re.escape(one.name)}(?![\w:])", query) for one in histograms.select(None, []))


def facts(name: str, text: str, world: int) -> Iterator[dict[str, Any]]:
    """The facts of one script. The first world is ``world``; what is skipped comes as ``{"skipped": file}``."""
    held: list[list[Any]] = []
    histograms = History()
    fresh = True
    for number, lines in blocks(text):
        head = lines[0]
        if head.startswith("clear"):
            held, histograms, fresh = [], History(), True
        elif head.startswith("load"):
            interval = milliseconds(head.split()[1])
            for line in lines[1:]:
                labels, values = series(line)
                if "{{" in values or "nhcb" in head:
                    histograms.track(labels.pop("__name__", ""), labels)
                else:
                    held = [*held, [labels, interval, values]]
            fresh = True
        else:
            if fresh:
                world, fresh = world + 1, False
                yield {"world": world, "series": held}
            found = EVAL.match(head)
            assert found is not None, head
            case: dict[str, Any] = {"source": f"{name}:{number}", "world": world, "query": found["query"]}
            instant = found["step"] is None
            case |= {"at": milliseconds(found["at"] or "0")} if instant else {key: milliseconds(found[key]) for key in ("start", "end", "step")}
            if found["mode"] == "_fail":
                case["fails"] = True
            if found["mode"] == "_ordered":
                case["ordered"] = True
            if outcome(lines[1:], case, instant) and not reads(found["query"], histograms):
                yield case
            else:
                yield {"skipped": name}


def main(checkout: str, commit: str = COMMIT) -> None:
    skipped: Counter[str] = Counter()
    world = 0
    with FACTS.open("w") as out:
        print(json.dumps({"commit": commit}), file=out)
        for name in FILES:
            shown = subprocess.run(
                ["git", "-C", checkout, "show", f"{commit}:{FOLDER}/{name}.test"], capture_output=True, text=True, check=True
            )
            for fact in facts(name, shown.stdout, world):
                world = fact.get("world", world)
                if "skipped" in fact:
                    skipped[name] += 1
                else:
                    print(json.dumps(fact, ensure_ascii=False, separators=(",", ":")), file=out)
        print(json.dumps({"skipped": skipped}), file=out)


if __name__ == "__main__":
    main(*sys.argv[1:3])
