"""Prometheus's own expectations, and ``docs/promql.md``, which says what comes of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qflowd.series.promql import aggregate, functions
from qflowd.series.promql.binary import ARITHMETIC, COMPARISONS
from tests.corpus.judge import Fact, Verdict, corpus, judge, verdict

PAGE = Path(__file__).parents[2] / "docs/promql.md"
VERDICTS = list(judge())
KNOWN = {
    "functions:523": "the parser reads `\\xff` as the letter ÿ, which may be part of a label's name; to Prometheus it is a byte that is not UTF-8",
    "functions:1149": "Prometheus gives 0 and notes in its script that the exact mean is ours, -44.848083237",
    "aggregators:428": "`limit_ratio` is not supported: whom it chooses follows from the hash function of Prometheus's labels",
}
"""Where qflowd differs, and why."""


def name_of(fact: Fact) -> str:
    return str(fact["source"])


@pytest.mark.parametrize("one", VERDICTS, ids=lambda one: one.fact["source"])
def test_the_outcome_is_that_of_prometheus(one: Verdict) -> None:
    assert bool(one.problem) is (one.fact["source"] in KNOWN), f"{one.fact['query']}: {one.problem or 'is known to differ, and does not'}"


def test_nearly_all_agree() -> None:
    agree = sum(not one.problem for one in VERDICTS)
    assert agree >= 0.95 * len(VERDICTS) and len(VERDICTS) > 800


def test_the_judge_sees_what_is_wrong() -> None:
    _, facts, worlds, _ = corpus()
    wrong = 0
    for fact in facts:
        for key, other in (("vector", [[{"no": "such"}, "1"]]), ("scalar", "12345"), ("string", "?"), ("matrix", [[{"no": "such"}, "1"]])):
            if key in fact:
                wrong += bool(verdict({**fact, key: other}, worlds[fact["world"]]).problem)
    assert wrong == sum(bool(fact.keys() & {"vector", "scalar", "string", "matrix"}) for fact in facts)


def page() -> str:
    commit, facts, _, skipped = corpus()
    counted = Counter(one.fact["source"].partition(":")[0] for one in VERDICTS)
    agree = Counter(one.fact["source"].partition(":")[0] for one in VERDICTS if not one.problem)

    def listed(names: object) -> str:
        return ", ".join(f"`{name}`" for name in sorted(names))  # type: ignore[call-overload]

    rows = [f"| {name} | {counted[name]} | {agree[name]} | {skipped.get(name, 0)} |" for name in counted]
    differences = [
        f"| `{one.fact['source']}` | `{one.fact['query']}` | {'refused' if one.refused else 'differs'} | {KNOWN.get(one.fact['source'], one.problem)} |"
        for one in VERDICTS
        if one.problem
    ]
    return "\n".join(
        [
            "# PromQL in qflowd",
            "",
            "This page is written by `tests/unit/test_promql_corpus.py`, which fails where it is not true.",
            "",
            "## Supported",
            "",
            "| | |",
            "|---|---|",
            "| selectors | instant and range, matchers `=` `!=` `=~` `!~` (RE2's syntax, anchored), names in braces and quotes, `offset`, `@` (a time,"
            " `start()`, `end()`) |",
            "| subqueries | `[range:step]` with `offset` and `@`; without a step one minute; at most 11,000 steps |",
            f"| operators | {listed([*ARITHMETIC, *COMPARISONS])} (`bool`), `and`, `or`, `unless`, in upper case too |",
            "| matching | `on`, `ignoring`, `group_left`, `group_right`, `fill`, `fill_left`, `fill_right` |",
            f"| aggregations | {listed(aggregate.SUPPORTED)} with `by` and `without` |",
            f"| functions | {listed(functions.FUNCTIONS)} |",
            "| values | float, `NaN`, `Inf`, hexadecimal, durations as numbers of seconds; strings as arguments and as results |",
            "",
            "Names are dropped at the end of a query (delayed name removal). A series goes stale at a staleness marker, or 5 minutes after its newest"
            " point.",
            "",
            "## Refused",
            "",
            "| construct | why |",
            "|---|---|",
            "| native histograms and the functions `histogram_*` | there are no histogram series |",
            "| `limit_ratio` | whom it chooses follows from the hash function of Prometheus's labels |",
            "| `info`, `start_timestamp` | there are no info metrics, and no start times |",
            "| `anchored`, `smoothed`, arithmetic in durations | the parser does not know them |",
            "| `or` between matchers in braces | Prometheus does not know it either |",
            "| a range or a string as the condition of a rule | it can be neither true nor false; `/api/v1/query` takes both |",
            "| `@` with a time before 1970 | the parser cannot read it |",
            "| look-around, references back, a repetition without end around a choice or another one in a regular expression | a match could take for ever |",
            "| more than 8,192 characters, 400 operators, 100 levels, 11,000 steps, 2,000 series in the answer, or too many points read | the daemon stays responsive |",
            "",
            "## Prometheus's own tests",
            "",
            f"The evaluations of `promql/promqltest/testdata/*.test` at commit `{commit}`; those that read native histograms are left out.",
            f"{sum(agree.values())} of {len(facts)} agree ({100 * sum(agree.values()) / len(facts):.1f} %).",
            "",
            "| file | evaluations | agree | with native histograms |",
            "|---|---|---|---|",
            *rows,
            "",
            "| where | query | | why |",
            "|---|---|---|---|",
            *differences,
            "",
        ]
    )


def test_the_page_says_so() -> None:
    written = page()
    if not PAGE.exists() or PAGE.read_text() != written:
        PAGE.write_text(written)
        pytest.fail(f"{PAGE} was written anew: look at it and commit it")
