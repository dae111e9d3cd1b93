# SPDX-License-Identifier: Apache-2.0
"""The door over the newest and over the oldest pyroute2 that is supported.

    red                                   blue
  +---------------------+   veth   +---------------------+
  | eth0 192.0.2.1/24   |----------| eth0 192.0.2.2/24   |
  +---------------------+          +---------------------+
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import door_smoke
import pytest
from net import Host, Net

OLDEST = Path("/opt/python/old/pyroute2-0.7.2")


@pytest.fixture
def host(gutless: None, net: Net) -> Host:
    red, blue = net.host("red"), net.host("blue")
    net.link(red, blue, ["192.0.2.1/24"], ["192.0.2.2/24"])
    return red


def test_the_newest(host: Host) -> None:
    door_smoke.walk(host.name)
    assert door_smoke.version() != "0.7.2"


def test_the_oldest(host: Host) -> None:
    path = os.pathsep.join([str(OLDEST), *sys.path])
    program = Path(door_smoke.__file__)
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(program), host.name],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    # and it says nothing on the side
    assert (run.stdout, run.stderr, run.returncode) == ("pyroute2 0.7.2: ok\n", "", 0)
