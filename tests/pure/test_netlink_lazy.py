# SPDX-License-Identifier: Apache-2.0
"""What importing the door costs, and that its two sides have the same calls."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from gutctl.netlink import AsyncKernel, Kernel

CHECK = """
import sys
{}
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("pyroute2", "pr2modules")))
"""


def loaded(statement: str) -> str:
    """Modules of pyroute2 that are there after a statement in a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", CHECK.format(statement)], capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.strip()


@pytest.mark.parametrize("module", ["gutctl.netlink", "gutctl._nl.family", "gutctl._nl.records", "gutctl._nl.links"])
def test_importing_the_door_does_not_import_pyroute2(module: str) -> None:
    assert loaded(f"import {module}") == "[]"


def test_the_check_sees_pyroute2() -> None:
    assert "pyroute2" in loaded("import gutctl._nl.sockets")


def test_a_namespace_that_is_not_there_needs_no_pyroute2_either() -> None:
    statement = "import gutctl.netlink, gutctl.errors\ntry: gutctl.netlink.Kernel('no-such-name')\nexcept gutctl.errors.NotFoundError: pass"
    assert loaded(statement) == "[]"


def calls(kind: type[object]) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_both_sides_take_the_same() -> None:
    sync, aio = calls(Kernel), calls(AsyncKernel)
    assert set(sync) == set(aio)
    for name, signature in sync.items():
        assert signature.parameters == aio[name].parameters, name
        if name not in ("control", "events", "options", "using"):
            assert signature.return_annotation == aio[name].return_annotation, name
            assert inspect.iscoroutinefunction(getattr(AsyncKernel, name)), name


def test_every_call_is_explained() -> None:
    assert [name for name in calls(Kernel) if not getattr(Kernel, name).__doc__] == []
