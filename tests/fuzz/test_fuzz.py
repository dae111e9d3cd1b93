# SPDX-License-Identifier: Apache-2.0
"""The fuzzers find nothing in the tree as it is, beginning with valid packets alone.

For tests/mutants, which demands that they find what it puts back: make mutants. Nothing else runs this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import seeds
import targets
from targets import Corpus, Finding, Run

#: Not what ends a run, unless the machine is very busy.
SECONDS = 60
SEED = 7
RUNS = {"wire": 300_000, "csum": 100_000}
COMPARED = 30_000


@pytest.fixture(params=["wire", "csum"])
def fuzzed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Corpus]:
    """A target, and a corpus of valid packets."""
    kind = request.param
    corpus = Corpus(kind, tmp_path / "corpus", tmp_path / "kept")
    corpus.folder.mkdir()
    for at, data in enumerate(seeds.valid(kind)):
        (corpus.folder / str(at)).write_bytes(data)
    return targets.build(kind, tmp_path), corpus


def test_nothing_is_found(fuzzed: tuple[Path, Corpus]) -> None:
    """libFuzzer under the sanitizers."""
    run = Run.start(*fuzzed, SECONDS, SEED, runs=RUNS[fuzzed[1].kind])
    try:
        assert run.finish(SECONDS + 60) > 5_000
    except Finding as finding:
        pytest.fail(f"{finding}\n{finding.said}", pytrace=False)
    finally:
        run.stop()


@pytest.mark.parametrize("fuzzed", ["wire"], indirect=True)
def test_both_codecs_agree(fuzzed: tuple[Path, Corpus]) -> None:
    """Every input of libFuzzer put to gutctl.encap as well."""
    try:
        done = targets.differential(*fuzzed, SECONDS, SEED, runs=COMPARED)
    except Finding as finding:
        pytest.fail(f"{finding}\n{finding.said}", pytrace=False)
    assert done.compared > 5_000
