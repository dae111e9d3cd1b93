# SPDX-License-Identifier: Apache-2.0
"""What is said of a debug kernel's log when its guest has ended."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = "[    1.5] BUG: KASAN: use-after-free in gl_rcv"
HARNESS = [
    "[    2.0] test: tests/kernel/test_harness.py::test_kernel_complaints_are_seen[BUG: test]",
    "[    2.1] BUG: test",
    "[    2.2] test: tests/kernel/test_inner_generated.py::test_loud",
    "[    2.3] WARNING: test",
]
OTHER = "[    3.0] test: tests/kernel/test_gro.py::test_bulk_tcp"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests/kernel"), *sys.path])
    spec = importlib.util.spec_from_file_location("watch", ROOT / "tests/uml/watch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(folder: Path, lines: list[str], tainted: str = "4096", lockdep: str = "1") -> Path:
    """The folder of a guest that has said this after its beginning."""
    said = ["[    0.1] BUG: before the tests", "debug: from here on", *lines]
    (folder / "console.log").write_text("\n".join(said) + "\n")
    (folder / "tainted").write_text(tainted + "\n")
    (folder / "lockdep").write_text(f" debug_locks: {lockdep}\n")
    return folder


def test_all_is_well(watch: ModuleType, tmp_path: Path) -> None:
    assert watch.trouble(results(tmp_path, [*HARNESS, OTHER, "[    3.1] all is well"])) == []


@pytest.mark.parametrize("lines", [[KERNEL], [OTHER, KERNEL], [*HARNESS, OTHER, KERNEL]], ids=len)
def test_a_complaint_is_shown(watch: ModuleType, tmp_path: Path, lines: list[str]) -> None:
    assert KERNEL in watch.trouble(results(tmp_path, lines))


def test_marks_of_a_kernel_that_said_nothing(watch: ModuleType, tmp_path: Path) -> None:
    """A complaint in the middle of the harness's own leaves them."""
    found = watch.trouble(results(tmp_path, [*HARNESS], tainted="4736", lockdep="0"))
    assert [line.split(" at the end")[0] for line in found] == ["tainted is 4736", "lockdep is 0"]


def test_a_guest_that_left_nothing(watch: ModuleType, tmp_path: Path) -> None:
    folder = results(tmp_path, [])
    (folder / "tainted").unlink()
    assert len(watch.trouble(folder)) == 1
