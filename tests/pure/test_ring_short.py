# SPDX-License-Identifier: Apache-2.0
"""The cut of the kernel ring for a second kernel: what it names is there, with a reason, and reaches every source of the module."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ROOT / "tests/vm/ring-short"


def guests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guests", ROOT / "tests/vm/guests.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["guests"] = module
    spec.loader.exec_module(module)
    return module


def test_what_it_names_is_there() -> None:
    names = guests().listed(SHORT)
    assert names and len(set(names)) == len(names)
    for name in names:
        file, _, test = name.partition("[")[0].partition("::")
        tree = ast.parse((ROOT / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not test or test in found, name


def test_every_source_of_the_module_is_spoken_of() -> None:
    """But for the counters, which all of them read."""
    text = SHORT.read_text()
    missing = {path.name for path in (ROOT / "kmod").glob("*.c") if not path.name.endswith(".mod.c")}
    assert {name for name in missing if name not in text} == {"stats.c"}


def test_what_ci_leaves_to_the_debug_kernel_is_done_there() -> None:
    left = guests().listed(ROOT / "tests/vm/ring-debug")
    assert left and all((ROOT / file).is_file() for file in left)
    assert set(left) <= set(guests().listed(ROOT / "tests/uml/short"))


def test_a_line_without_a_reason_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("# a list\n\ntests/kernel/test_cli.py  # because\ntests/kernel/test_x.py\n")
    with pytest.raises(ValueError, match="list:4: a test and a reason are wanted"):
        guests().listed(file)


def test_tests_of_a_file_stay_together(tmp_path: Path) -> None:
    tests = [f"tests/kernel/test_cli.py::test_{name}" for name in "abc"] + ["tests/kernel/test_gro.py"]
    shares = guests().shares(tests, 2, tmp_path / "none")
    assert sorted(map(tuple, shares)) == [tuple(tests[:3]), tuple(tests[3:])]
    with pytest.raises(ValueError, match="there is no tests/kernel/test_nothing.py"):
        guests().shares(["tests/kernel/test_nothing.py"], 2, tmp_path / "none")


def test_a_guest_without_a_result_is_no_success(tmp_path: Path) -> None:
    judge = guests().judge
    assert not judge(125, tmp_path / "none").good
    report = tmp_path / "junit.xml"
    report.write_text('<testsuite><testcase classname="tests.kernel.test_a" name="one"/></testsuite>')
    assert judge(0, report).good
    assert not judge(1, report).good
    report.write_text('<testsuite><testcase classname="tests.kernel.test_a" name="one"><failure/></testcase></testsuite>')
    assert judge(1, report).failed == ["tests/kernel/test_a.py::one"]
    report.write_text("<testsuite/>")
    assert not judge(0, report).good
