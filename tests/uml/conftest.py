# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the kernel ring for the tests that only the debug kernel can run, and what they cost in a short run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

KERNEL = Path(__file__).resolve().parent.parent / "kernel"
sys.path.insert(0, str(KERNEL))

# a second file of the same name: by its path
_spec = importlib.util.spec_from_file_location("kernel_ring_conftest", KERNEL / "conftest.py")
assert _spec and _spec.loader
_ring = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_ring)

gutless, module_back, module_net, needed_modules = _ring.gutless, _ring.module_back, _ring.module_net, _ring.needed_modules
net, watched_log, whole_log = _ring.net, _ring.watched_log, _ring.whole_log


@pytest.fixture(scope="session")
def short() -> bool:
    """Whether the run is a short one: a parameter of the kernel says so."""
    return "gutless.short" in Path("/proc/cmdline").read_text().split()
