# SPDX-License-Identifier: Apache-2.0
"""What the fuzzers once found, and what they begin with, again: against the module's headers and gutctl.encap.

The targets of tests/fuzz, compiled by gcc without libFuzzer. The fuzzers themselves: tests/fuzz/run.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
sys.path.append(str(FUZZ))

import agree
import inputs
import seeds
import targets

KEPT = [(kind, path) for kind in inputs.KINDS for path in inputs.kept(kind)]


@pytest.fixture(scope="module")
def replayers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The targets, compiled with sanitizers."""
    folder = tmp_path_factory.mktemp("fuzz")
    return {kind: targets.build_replayer(kind, folder) for kind in inputs.KINDS}


def replay(program: Path, kind: str, data: list[bytes]) -> Counter[str]:
    """Both programs on the inputs; how often each verdict came up."""
    complaint, answered = targets.replay_all(program, data)
    assert not complaint, complaint
    seen: Counter[str] = Counter()
    if kind == "wire":
        reasons = targets.reasons()
        assert [one for one, _ in answered] == [one for one in data if len(one) >= 2]
        for one, octets in answered:
            said = agree.answer(octets, reasons)
            agree.compare(one, said)
            seen[said.reason] += 1
    return seen


@pytest.mark.parametrize(("kind", "path"), KEPT, ids=[f"{kind}-{path.stem}" for kind, path in KEPT])
def test_what_was_found(replayers: dict[str, Path], kind: str, path: Path) -> None:
    replay(replayers[kind], kind, [inputs.read(path)])


def test_seeds_of_the_formats(replayers: dict[str, Path]) -> None:
    """Every setting of a port, every field and option; each verdict that the formats have comes up."""
    seen = replay(replayers["wire"], "wire", list(seeds.wire_seeds()))
    wanted = {"", *targets.reasons().values()} - {"source", "nesting", "no-memory", "option-missing", "option-value", "option-refused"}
    wanted -= {"auth-missing", "auth-key", "auth-tag", "auth-replay", "auth-time"}
    wanted -= {"control-limit"}
    assert set(seen) == wanted


def test_seeds_of_the_sums(replayers: dict[str, Path]) -> None:
    """Sums told by headers, of packets of every kind, whole, cut and with each octet changed."""
    replay(replayers["csum"], "csum", list(seeds.csum_seeds()))


def test_a_regression_can_be_read() -> None:
    """Each file says why it is there, and has octets."""
    assert KEPT
    for _, path in KEPT:
        assert path.read_text(encoding="utf-8").startswith("# "), path
        assert len(inputs.read(path)) > 2, path
