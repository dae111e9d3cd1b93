# SPDX-License-Identifier: Apache-2.0
"""UDP checksum 0: over IPv4 it always passes, over IPv6 only where the port allows it (RFC 6935).

      a, links with csum zero and full ---- eth0 wire eth0 ---- b, ports        offloads off
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from net import Host, Net
from outer import emit, ip
from traffic import wait_until

from gutctl.model import Csum, Format, PortKey

PORT = 6080


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(b.host, "eth0", count=512) as wire:
        yield a, b, wire


def snmp6(host: Host, name: str) -> int:
    """A counter of /proc/net/snmp6."""

    def read() -> int:
        lines = Path("/proc/thread-self/net/snmp6").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == name)

    return host.call(read)


def send(a: End, wire: Capture, count: int) -> list[str]:
    """Inner packets through the link of a; what their UDP checksums were on the wire of b."""
    wire.forget()
    emit(a.host, "tun", "sit", [ip(a.inner[4], "10.9.0.2", sport=4000 + n) for n in range(count)])
    return [seen.csum for seen in wire.wait(count, PORT, outgoing=False)]


@pytest.mark.parametrize(("format", "encap"), [(Format.FOU, BARE), (Format.GUE, HEADER), (Format.GUTLESS, BARE)], ids=str)
def test_over_ipv6(ends: tuple[End, End, Capture], format: Format, encap: int) -> None:
    """Not allowed: UDP drops it before the port sees it, and counts it as Udp6InCsumErrors. Allowed: as any packet."""
    a, b, wire = ends
    fou = 4 if format is Format.FOU else None
    key = b.port(6, PORT, fou=fou, zero_csum6=False)
    try:
        for csum, kind in ((Csum.ZERO, "none"), (Csum.FULL, "ok")):
            number = a.profile(format, csum)
            a.tunnel("tun", b.addresses[6], encap, PORT, number=number)
            for allowed in (False, True, False):
                b.kernel.port_set(key, zero_csum6=allowed)
                passes = allowed or csum is Csum.FULL
                errors, received = snmp6(b.host, "Udp6InCsumErrors"), b.received(key)
                assert send(a, wire, 4) == [kind] * 4
                if passes:
                    wait_until(lambda wanted=received + 4: b.received(key) >= wanted, what="received")  # type: ignore[misc]
                else:
                    wait_until(lambda wanted=errors + 4: snmp6(b.host, "Udp6InCsumErrors") >= wanted, what="UDP's count")  # type: ignore[misc]
                after = snmp6(b.host, "Udp6InCsumErrors") - errors, b.received(key) - received
                assert after == ((0, 4) if passes else (4, 0))
                assert b.drops(key) == {}
            a.clear()
    finally:
        a.clear()
        b.kernel.port_del(key)


@pytest.mark.parametrize(("format", "encap"), [(Format.FOU, BARE), (Format.GUE, HEADER), (Format.GUTLESS, BARE)], ids=str)
def test_over_ipv4(ends: tuple[End, End, Capture], format: Format, encap: int) -> None:
    """RFC 768 allows it, and every port takes it."""
    a, b, wire = ends
    key = b.port(4, PORT, fou=4 if format is Format.FOU else None)
    a.tunnel("tun", b.addresses[4], encap, PORT, number=a.profile(format, Csum.ZERO))
    try:
        assert send(a, wire, 4) == ["none"] * 4
        wait_until(lambda: b.received(key) >= 4, what="received")
        assert (b.received(key), b.drops(key)) == (4, {})
    finally:
        a.clear()
        b.kernel.port_del(key)


def test_two_ports_decide_for_themselves(ends: tuple[End, End, Capture]) -> None:
    """One port that allows it opens nothing for another."""
    a, b, wire = ends
    strict, lax = b.port(6, PORT, zero_csum6=False), b.port(6, PORT + 1)
    a.tunnel("tun", b.addresses[6], HEADER, PORT, number=a.profile(Format.GUE, Csum.ZERO))
    try:
        errors = snmp6(b.host, "Udp6InCsumErrors")
        send(a, wire, 4)
        wait_until(lambda: snmp6(b.host, "Udp6InCsumErrors") >= errors + 4, what="UDP's count")
        for key in (strict, lax):
            assert isinstance(key, PortKey) and b.received(key) == 0
    finally:
        a.clear()
        b.kernel.port_del(strict)
        b.kernel.port_del(lax)
