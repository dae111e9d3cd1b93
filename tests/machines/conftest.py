# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the machines' ring: one pair for all its tests. It runs below tests/machines/run only."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "vagrant")]

import machines
import topology
from lost import SECONDS, Attempt
from machines import Machines

UP_SECONDS = 900
"""Emulated on two quiet cores they take a tenth of it."""


def pytest_configure(config: pytest.Config) -> None:
    if "GUTCTL_MACHINES" not in os.environ:
        raise pytest.UsageError("these tests run in namespaces of their own: tests/machines/run [PYTEST-ARGUMENT...]")


@pytest.fixture(scope="session")
def vagrant_home() -> Path:
    """Where Vagrant keeps what all machines share."""
    home = Path(os.environ["GUTCTL_MACHINES"], "vagrant")
    machines.prepare_vagrant(home, Path(os.environ["GUTCTL_BOX_FOLDER"]))
    return home


@pytest.fixture(scope="session")
def environment(vagrant_home: Path) -> dict[str, str]:
    """What the Vagrantfile and Vagrant itself read."""
    return {"VAGRANT_HOME": str(vagrant_home), "GUTCTL_BOX": machines.BOX, "GUTCTL_VAGRANT": str(ROOT / "vagrant")}


@pytest.fixture(scope="session")
def pair(environment: dict[str, str]) -> Iterator[Machines]:
    """The machines of vagrant/topology.yaml, from the Vagrantfile that users have."""
    made = Machines(
        Path(os.environ["GUTCTL_MACHINES"], "pair"),
        topology.VAGRANTFILE.read_text(),
        [machine.name for machine in topology.load()],
        environment,
    )
    started = time.monotonic()
    made.up(UP_SECONDS)
    print(f"\ntwo machines up and provisioned in {time.monotonic() - started:.0f} s", file=sys.__stderr__)
    yield made
    made.destroy()


@pytest.fixture(scope="session", autouse=True)
def attempt(request: pytest.FixtureRequest, pair: Machines, environment: dict[str, str]) -> Iterator[Attempt | None]:
    """A machine that cannot come up, tried while the others work; None where no test wants it."""
    if not any(item.path.name == "test_broken.py" for item in request.session.items):
        yield None
        return
    made = Attempt(Path(os.environ["GUTCTL_MACHINES"], "lost"), environment)
    made.start()
    yield made
    made.join(SECONDS + 120)


ORDER = ("test_tunnels.py", "test_broken.py", "test_teardown.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits comes late, and the machines are taken away last."""
    items.sort(key=lambda item: ORDER.index(item.path.name) if item.path.name in ORDER else 0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure shows what the machines said on their consoles."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    made = getattr(item, "funcargs", {}).get("pair")
    if report.failed and made is not None:
        report.sections.append(("machines", made.said()))
