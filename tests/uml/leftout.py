# SPDX-License-Identifier: Apache-2.0
"""A plugin for pytest in the debug kernel: which tests of the kernel ring cannot pass there, and which make the short run.

    python3 -m pytest -p leftout --left-out FILE [--only FILE] ...

The files are as leftlist.py reads them. A test that is left out runs all the same and has to fail, so an entry whose
reason is gone fails the run; so does one that names no test.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from leftlist import Entry, entries

HANGS = "hangs:"
"""A reason that begins with this: the test is not run at all, since it would not come to its end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--left-out", type=Path, help="tests that have to fail, with reasons")
    parser.addoption("--only", type=Path, help="run these alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out, only = config.getoption("--left-out"), config.getoption("--only")
    files = {Path(item.nodeid.partition("::")[0]) for item in items}
    if only:
        chosen = entries(only)
        kept = [item for item in items if any(entry.names(item.nodeid) for entry in chosen)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        _check(only, chosen, files, items)
    if left_out:
        hopeless = entries(left_out)
        everything = list(items)
        for item in items:
            reason = next((entry.reason for entry in hopeless if entry.names(item.nodeid)), None)
            if reason:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True, run=not reason.startswith(HANGS)))
        if not only:
            _check(left_out, hopeless, files, everything)


def _check(file: Path, listed: list[Entry], files: set[Path], items: list[pytest.Item]) -> None:
    """Raises UsageError where an entry about one of these files names none of the tests."""
    for entry in listed:
        test_file = Path(entry.name.partition("::")[0])
        if not test_file.exists():
            raise pytest.UsageError(f"{file}: {entry.name}: there is no such file")
        if test_file in files and not any(entry.names(item.nodeid) for item in items):
            raise pytest.UsageError(f"{file}: {entry.name}: there is no such test")
