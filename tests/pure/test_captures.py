# SPDX-License-Identifier: Apache-2.0
"""Captures of the module's own packets, read by gutctl decode, by the scapy layer and by tshark with the dissector.

tests/kernel/test_captures.py holds them to what the module sends today.
"""

from __future__ import annotations

import json
from itertools import islice

import pytest
from capture_cases import CASES, FOU_PORT, INNER, PORT, Case, inners
from click.testing import CliRunner
from readers import Seen, by_gutctl, by_scapy, by_tshark, without
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from gutctl.cli import main
from gutctl.dissect import Ports, dissect_packet
from gutctl.encap import pad

LAYERS = {"sit": [], "ipip": [], "ip6tnl": [], "gre": ["gre"], "ip6gre": ["gre"], "gretap": ["gre", "eth"], "ip6gretap": ["gre", "eth"]}
LAST = {4: ["tcp", "udp", "icmp"], 6: ["tcp", "udp", "icmpv6"]}


@pytest.fixture(scope="module")
def shown() -> dict[Case, list[Seen]]:
    """All of them by one run of tshark."""
    packets = {case: case.packets() for case in CASES}
    every = [one for case in CASES for one in packets[case]]
    seen = iter(by_tshark(every, f"gutless.fou:{FOU_PORT}:4"))
    return {case: list(islice(seen, len(packets[case]))) for case in CASES}


def expected(case: Case, partial: bool) -> list[dict[str, object]]:
    """The tunnel header, from what the link was told."""
    if case.form == "fou":
        return []
    protocol = 47 if "gre" in case.kind else None
    if case.form == "gue":
        left = {"remote": "private_flags.remote_checksum", "remote-draft": "remote_checksum"}.get(case.csum) if partial else None
        flags = {None: 0, "private_flags.remote_checksum": 1, "remote_checksum": 0x200}[left]
        return [{"format": "gue0", "protocol": protocol, "flags": flags, "remote": left}]
    left = "0x59" if case.remote and partial else None
    if protocol is None and not case.options and not left:
        return [{"format": "bare"}]
    types = [option.type for option in pad(case.options) if not option.padding]
    return [{"format": "gutless", "protocol": protocol, "types": ([0x59] if left else []) + types}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_readers_agree(case: Case, shown: dict[Case, list[Seen]]) -> None:
    """On every header; and it is the one that the link was told to send, around the packet that was put into it."""
    wanted = [(version, inner, name) for version in case.versions for inner, name in zip(inners(version), LAST[version], strict=True)]
    ports = Ports(frozenset({PORT}), {FOU_PORT: 4})
    for packet, seen, (version, inner, last) in zip(case.packets(), shown[case], wanted, strict=True):
        told = by_gutctl(packet, ports)
        assert seen.headers == told
        assert by_scapy(packet) == [without(one, "check_state", "values") for one in told]
        assert seen.told == set()

        for header, want in zip(told, expected(case, inner.partial), strict=True):
            assert header["format"] == want["format"]
            if "protocol" in want:
                assert header["protocol"] == (want["protocol"] or {4: 4, 6: 41}[version])
            if "flags" in want:
                assert header["flags"] == want["flags"]
                assert set(header["fields"]) == ({f"{want['remote']}.start", f"{want['remote']}.offset"} if want["remote"] else set())
            if "types" in want:
                assert [number for number, _ in header["options"]] == want["types"]
        names = {"fou": "gutless_fou", "gue": "gue0", "gutless": "gutless"}
        assert seen.protocols == [names[case.form], *LAYERS[case.kind], {4: "ip", 6: "ipv6"}[version], last]

        # as it was put in, but for a checksum that the device, or the receiver, was left to make
        left = case.remote and inner.partial
        end = inner.data if left or not inner.partial else inner.data[: inner.start + 16]
        assert end in packet if not left else packet.endswith(inner.data)
        outer = (IP if case.outer == 4 else IPv6)(packet)
        assert (outer[UDP].sport, outer[UDP].dport) == (50164, case.dport)
        states = [layer.get("checksum_state") for layer in dissect_packet(packet, ports).to_json()["layers"]]
        assert states[1] == ("none" if case.csum == "zero" else "ok")
        assert states[-1] == ("remote" if left else "ok")


def test_filled_values(shown: dict[Case, list[Seen]]) -> None:
    """What the kernel has written into options: a sequence from 0, the MTU of the wire."""
    (timed,) = [case for case in CASES if "timing" in case.words]
    assert [seen.headers[0]["values"][0]["sequence"] for seen in shown[timed]] == list(range(6))
    (mtu,) = [case for case in CASES if any(word.startswith("min-path-mtu") for word in case.words)]
    assert {seen.headers[0]["values"][0]["minimum"] for seen in shown[mtu]} == {1500}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_tool_prints_them(case: Case) -> None:
    """gutctl decode FILE, as a person calls it."""
    words = ["decode", str(case.file), "--json"] + (["--fou", f"{FOU_PORT}:4"] if case.form == "fou" else [])
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.output.splitlines()]
    assert len(records) == 3 * len(case.versions)
    assert all(record["problem"] is None for record in records)
    assert {INNER[version][1] for version in case.versions} == {
        next(layer["destination"] for layer in reversed(record["layers"]) if layer["header"] in ("ipv4", "ipv6")) for record in records
    }
