# SPDX-License-Identifier: Apache-2.0
"""How the benchmark judges: what is measured for a bar, what counts as a rise, what the page is made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture(autouse=True)
def bench_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The benchmark's modules are those of a program, beside it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


def results_of_the_cut(instructions: int = 10000):  # type: ignore[no-untyped-def]
    """As if every row of the cut had cost the same."""
    import plan
    from rows import Results, Row

    results = Results("6.1.0", "7.2")
    for what in plan.cut():
        case = what.case
        for size in what.sizes:
            row = Row(what.path, case.name, case.module, case.outer, case.inner, case.csum, size, instructions,
                      case.against, case.ports)  # fmt: skip
            assert row.key not in results.rows, "two measurements with one name"
            results.rows[row.key] = row
    return results


def test_every_bar_is_in_the_cut_and_whatever_is_compared_has_its_other_beside_it() -> None:
    import bars

    results = results_of_the_cut()
    for bar in bars.BARS:
        judged = list(bar.rows(results))
        assert {row.csum for row in judged} == set(bar.csum)
        assert {row.outer for row in judged} == {4, 6}
        assert {row.octets for row in judged} == set(bar.sizes)
    for row in results.rows.values():
        assert not row.against or results.ratio(row) == 1


def test_every_guest_of_the_whole_has_what_its_rows_are_compared_with() -> None:
    import plan

    names: set[tuple[str, str, int]] = set()
    for one in plan.whole():
        here = {(what.path, what.case.key, what.case.ports) for what in one}
        assert len(here) == len(one)
        for what in one:
            if what.case.against:
                other = replace(what.case, name=what.case.against).key
                assert (what.path, other, what.case.ports) in here
        names |= here
    assert {outer for _, key, _ in names for outer in key.split("/")[1:2]} == {"4", "6"}


@pytest.mark.parametrize(("cost", "risen"), [(10000, False), (10049, False), (10051, True), (9000, False)])
def test_a_ratio_that_rose_by_more_than_half_a_percent_is_told(cost: int, risen: bool) -> None:
    import bars

    before, now = results_of_the_cut(), results_of_the_cut()
    key = "local/ipip+gutless gue/v4/on/64"
    now.rows[key] = replace(now.rows[key], instructions=cost)
    assert [key in line for line in bars.rises(now, before)] == ([True] if risen else [])


def test_a_machine_on_which_everything_is_dearer_raises_no_ratio() -> None:
    import bars

    assert not list(bars.rises(results_of_the_cut(20000), results_of_the_cut(10000)))


def test_a_row_that_is_gone_is_told_and_a_bar_without_rows_has_failed() -> None:
    import bars

    before, now = results_of_the_cut(), results_of_the_cut()
    for key in [key for key in now.rows if "gutless gue" in key]:
        del now.rows[key]
    assert any("was measured, and is not any more" in line for line in bars.rises(now, before))
    failed = [verdict.bar.encapsulation for verdict in bars.verdicts(now) if verdict.failed]
    assert "gutless gue" in failed


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    from rows import Results

    results = results_of_the_cut()
    results.save(tmp_path / "rows.json")
    again = Results.load(tmp_path / "rows.json")
    assert again == results
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rows.json").read_bytes()


def test_rows_that_are_added_change_no_other_and_stand_where_the_plan_has_them() -> None:
    import plan

    whole, kept = results_of_the_cut(), results_of_the_cut(9000)
    missing = [key for key in kept.rows if "gutless gue" in key]
    assert len(missing) > 9
    for key in missing:
        del kept.rows[key]
    kept.merge(whole)
    kept.sort(plan.cut())
    assert list(kept.rows) == list(whole.rows)
    assert {key: row.instructions for key, row in kept.rows.items()} == {
        key: 10000 if key in missing else 9000 for key in whole.rows
    }


def test_what_comes_out_of_a_tunnel_is_made_for_the_port_that_takes_it() -> None:
    """The same link, checksum and front on both sides of a comparison; only ours have a Check, and verify headers."""
    import plan

    found = {(what.path, what.case.key): what for one in plan.whole() for what in one if what.path in plan.DECAP}
    assert {path for path, _ in found} == set(plan.DECAP)
    for what in found.values():
        case, lines = what.case, plan.script([what])
        assert f" 5555 {case.front} {'zero' if case.csum == 'off' else 'full'})" in lines
        assert ("verify-headers 1" in lines) == case.verify == ("headers verified" in case.name)
        assert ("offloads r t gro off" in lines) == (what.path == "decap")
        if case.against:
            other = found[what.path, replace(case, name=case.against).key].case
            assert (other.kind, other.inner, other.front == "nothing") == (case.kind, case.inner, case.front == "nothing")


def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path) -> None:
    from guest import BenchError
    from rows import Results

    (tmp_path / "rows.json").write_text('{"kernel": "x", "rows": [{"path": 1}]}')
    with pytest.raises(BenchError, match=r"rows\.json"):
        Results.load(tmp_path / "rows.json")


def test_the_page_s_tables_are_all_made_and_what_is_around_them_stays() -> None:
    import report

    text = report.PAGE.read_text()
    made = report.page(text, results_of_the_cut())
    assert "| ipip+gutless fou | on | 10,000 |" in made
    assert made.split("<!-- made:")[0] == text.split("<!-- made:")[0]
    assert report.page(made, results_of_the_cut()) == made
