# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the kernel ring. It runs as root in a virtual machine that is thrown away afterwards: see tests/README.md."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import kernel_log
import modules
from kernel_log import KernelLog
from net import Net


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() or not Path("/results").is_dir():
        raise pytest.UsageError("the kernel ring runs in its virtual machine only: make test-kernel T=...")


@pytest.fixture(scope="session", autouse=True)
def needed_modules() -> None:
    """The kernel's own modules are there."""
    modules.load_needed()


@pytest.fixture(scope="session", autouse=True)
def encapsulation_on() -> Iterator[None]:
    """The kernel's switch for UDP encapsulation stays on, whatever the module does, by a socket of either family that wants it.

    The first such socket and the last have the kernel patch the code that receives UDP, and QEMU 7.2 may run it on the other processor
    in the middle: with the module taken out under traffic, once in some twenty times, a guest died of the patch's breakpoint ("Oops: int3").
    That the module turns the switch on is seen by the tests of two machines and by the demo, where nothing holds it.
    """
    udp_encap, l2tp = 100, 3  # linux/udp.h
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        for held in (four, six):
            held.setsockopt(socket.IPPROTO_UDP, udp_encap, l2tp)
        yield


@pytest.fixture(scope="session")
def whole_log(needed_modules: None) -> Iterator[KernelLog]:
    """The kernel's log, looked at once more when every test and fixture is done."""
    log = KernelLog()
    yield log
    trouble = kernel_log.bad(log.new())
    log.close()
    if trouble:
        pytest.fail("the kernel complained after the last test:\n" + "\n".join(trouble))


@pytest.fixture(autouse=True)
def watched_log(whole_log: KernelLog, request: pytest.FixtureRequest) -> Iterator[KernelLog]:
    """Fails a test during which the kernel complained; first among the fixtures, so it looks after all the others."""
    kernel_log.write(f"test: {request.node.nodeid}")
    yield whole_log
    lines = whole_log.new()
    trouble = kernel_log.bad(lines)
    if trouble:
        pytest.fail("the kernel complained:\n" + "\n".join(lines[-80:]), pytrace=False)


@pytest.fixture(scope="session")
def gutless(whole_log: KernelLog) -> Iterator[None]:
    """The module is loaded; after the last test it can be taken out. A test that unloads it loads it again."""
    if not modules.loaded():
        modules.load()
    yield
    if modules.loaded():
        modules.unload()


@pytest.fixture(autouse=True)
def module_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed while the module was out takes no other with it."""
    yield
    if "gutless" in request.fixturenames and not modules.loaded():
        modules.load()


@pytest.fixture
def net(watched_log: KernelLog) -> Iterator[Net]:
    """Hosts for one test."""
    made = Net()
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_net(whole_log: KernelLog) -> Iterator[Net]:
    """Hosts that all tests of one file share."""
    made = Net()
    yield made
    made.close()
