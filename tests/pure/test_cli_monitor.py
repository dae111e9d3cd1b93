# SPDX-License-Identifier: Apache-2.0
"""gutctl monitor: each event as text and as a record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from cli_runner import must
from fake_kernel import Machine

from gutctl.model import Format, OnPath, Port, PortKey, Profile
from gutctl.netlink import Event, Lost

AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
STAMP = "2026-05-04T03:02:01+00:00"


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    port = Port(PortKey(4, 6080), sources=frozenset({ip_network("198.51.100.7/32")}))
    made.coming = [
        Event("port", "add", AT, port),
        Event("profile", "set", AT, Profile(3, Format.GUE, source_ports=(7000, 7000))),
        Lost(AT),
        Event("port", "del", AT, port),
        Event("device", "set", AT, OnPath(2, True, (6080, 7000))),
        Event("device", "del", AT, OnPath(77, True, (6080,))),
    ]
    return made


def test_text(machine: Machine) -> None:
    assert must(machine, "monitor").out.splitlines() == [
        f"{STAMP} added port *:6080 over IPv4: accepts gue0 bare gutless from 198.51.100.7",
        f"{STAMP} changed profile 3: format gue, csum full, sport 7000",
        f"{STAMP} events were lost: list ports and profiles anew",
        f"{STAMP} deleted port *:6080 over IPv4: accepts gue0 bare gutless from 198.51.100.7",
        f"{STAMP} changed device eth0: min-path-mtu on, port 6080,7000",
        f"{STAMP} deleted device #77: min-path-mtu on, port 6080",
    ]


def test_records(machine: Machine) -> None:
    records = [json.loads(line) for line in must(machine, "monitor --json").out.splitlines()]
    assert [record["event"] for record in records] == ["port-add", "profile-set", "lost", "port-del", "device-set", "device-del"]
    assert all(record["schema"] == 1 and record["time"] == STAMP for record in records)
    assert records[0]["port"]["sources"] == ["198.51.100.7/32"]
    assert records[1]["profile"]["source_ports"] == [7000, 7000]
    assert [(r["onpath"]["device"], r["onpath"]["ifindex"]) for r in records[4:]] == [("eth0", 2), (None, 77)]


def test_count_and_verbose(machine: Machine) -> None:
    result = must(machine, "monitor --count 2 -v")
    assert len(result.out.splitlines()) == 2
    assert result.err == "gutctl: listening\n"
