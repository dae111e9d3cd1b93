# SPDX-License-Identifier: Apache-2.0
"""docs/known-bugs-of-fou.md is true: no row is missing, each has an answer, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "known-bugs-of-fou.md"
MUTANTS = ROOT / "tests" / "mutants"

SECURITY = (
    "11789039da53", "bc6e019b6ee6", "44039e00171b", "26fc181e6cac", "CVE-2024-46763", "CVE-2026-74406", "CVE-2024-46865",
    "CVE-2024-44940", "CVE-2026-23083", "omitted IPPROTO", "CVE-2026-23095", "CVE-2026-72351", "CVE-2026-98621",
    "CVE-2026-74496", "6f1a9140ecda", "CVE-2024-26804", "CVE-2026-80978", "CVE-2026-89563", "CVE-2026-63994",
    "CVE-2026-53228", "CVE-2026-43080", "CVE-2026-53070", "CVE-2026-68161", "fou_gro_ops() of 7.3", "CVE-2016-7039",
    "CVE-2016-8666", "wrong network offset in GRO", "IPv6 netlink policy", "multicast delivery",
)  # fmt: skip
READ = (
    "dump parts", "port 0", "ICMP errors of FOU", "outer length", "errors and counters", "port conflicts", "source ports",
    "specification", "build_header without room", "control messages",
)  # fmt: skip
STILL = (
    "WARN_ON in gro_complete", "port 0 accepted", "no extack", "GENL_DONT_VALIDATE_STRICT", "GET without privilege",
    "DEL of the absent is EINVAL",
)  # fmt: skip
FOUND = (
    "remote checksum in a header", "remote checksum of 0", "remote checksum in shared octets", "remote checksum merged",
    "GRE merged", "ICMP errors uncut", "identification of merged packets", "link without a local address",
)  # fmt: skip


def rows() -> dict[str, str]:
    """The answers, by identifier; a row that has several is there under each."""
    found: dict[str, str] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0]:
            for name in cells[0].split(", "):
                assert name not in found, f"{name} is there twice"
                found[name] = cells[2]
    return found


ROWS = rows()


def named_tests(text: str) -> set[tuple[str, str]]:
    """Files, by their path in the repository, and the functions in them that are named; "" for all of a file."""
    found = set()
    for folder, file, function in re.findall(r"`(pure/)?(test_\w+\.py)(?:::(\w+))?(?:\[[^`]*\])?`", text):
        found.add((f"tests/{'pure' if folder else 'kernel'}/{file}", function))
    return found


def named_mutants(text: str) -> set[str]:
    return set(re.findall(r"(?<!\*)\*([a-z][a-z0-9-]+)\*(?!\*)", text))


def functions_of(path: Path) -> set[str]:
    return set(re.findall(r"^def (\w+)\(", path.read_text(), re.MULTILINE))


def missing(tests: set[tuple[str, str]]) -> list[str]:
    """What of these tests there is not."""
    there = {file: functions_of(ROOT / file) for file, _ in tests if (ROOT / file).is_file()}
    return sorted(f"{file}::{name}" for file, name in tests if file not in there or (name and name not in there[file]))


def test_no_row_is_missing() -> None:
    assert sorted(ROWS) == sorted((*SECURITY, *READ, *STILL, *FOUND))


@pytest.mark.parametrize("name", ROWS)
def test_each_row_has_an_answer(name: str) -> None:
    """A reason, or a test; a bug that stays is said to stay."""
    answer = ROWS[name]
    reason = re.search(r"Cannot occur: .{20,}|^The same\.$|^Stays so there: ", answer)
    assert reason or named_tests(answer), answer
    assert "@" not in answer


def test_what_is_named_exists() -> None:
    text = PAGE.read_text()
    assert len(named_tests(text)) > 20 and len(named_mutants(text)) > 20
    assert missing(named_tests(text)) == []
    assert sorted(name for name in named_mutants(text) if not (MUTANTS / f"{name}.patch").is_file()) == []
    sources = "".join(path.read_text() for path in (ROOT / "kmod").glob("*.[ch]"))
    ours = set(re.findall(r"`(gl_\w+)\(\)`", text))
    assert sorted(name for name in ours if not re.search(rf"^\w.*\b{name}\(", sources, re.MULTILINE)) == []
    cases = set(re.findall(r"test_refused` \(`([^`]+)`\)", text))
    table = (ROOT / "tests/kernel/test_ports.py").read_text()
    assert cases
    assert sorted(case for case in cases if f'"{case}":' not in table) == []


def test_mutants_name_tests_that_exist() -> None:
    """As the page does: a mutant whose tests are gone catches nothing."""
    named = set()
    for patch in MUTANTS.glob("*.patch"):
        for test in re.findall(r"^# test: *(\S+)", patch.read_text(), re.MULTILINE):
            file, _, function = test.partition("::")
            named.add((file, function.partition("[")[0]))
    assert len(named) > 20
    assert missing(named) == []


def test_nothing_that_is_received_can_warn() -> None:
    """No assertion at run time in the module at all; those of the compiler are another thing."""
    found = []
    for path in sorted((ROOT / "kmod").glob("*.[ch]")):
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        found += [f"{path.name}: {word}" for word in re.findall(r"\b(?:WARN\w*|BUG|BUG_ON|panic|dump_stack)\s*\(", code)]
    assert found == []
    # and the pattern would find one
    assert re.findall(r"\b(?:WARN\w*|BUG|BUG_ON)\s*\(", "	if (WARN_ON_ONCE(!ops))") == ["WARN_ON_ONCE("]
