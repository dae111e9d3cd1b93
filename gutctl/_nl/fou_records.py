# SPDX-License-Identifier: Apache-2.0
"""Ports of the kernel's own fou module as attributes of its family, and back.

Numbers are those of ``linux/fou.h``. Only what is needed is sent: newer kernels
refuse an inner protocol with GUE, older ones do not know the last six attributes
and pass over them. Nothing here talks to a kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from gutctl.backend import BACKENDS
from gutctl.errors import GutctlError, UsageError
from gutctl.model import Accept, Address, Module, Port, PortKey

from .family import Attr, AttrSet
from .records import port_key
from .tlv import Attrs

__all__ = ["ADD", "BINDING", "DEL", "FOU", "GET", "VERSION", "decode", "find", "key_request", "request"]

VERSION: Final = 1
ADD, DEL, GET = 1, 2, 3

FOU: Final = AttrSet(
    "fou",
    (
        Attr("port", 1, "be16"),
        Attr("family", 2, "u8"),
        Attr("ipproto", 3, "u8"),
        Attr("type", 4, "u8"),
        Attr("remcsum-nopartial", 5, "flag"),
        Attr("local-v4", 6, "be32"),
        Attr("local-v6", 7, "binary"),
        Attr("peer-v4", 8, "be32"),
        Attr("peer-v6", 9, "binary"),
        Attr("peer-port", 10, "be16"),
        Attr("ifindex", 11, "s32"),
    ),
)

BINDING: Final = FOU["local-v4"].number
"""It, and all that bind a port, came later (5.2): kernels before pass over them, and open the port to everybody. Kernels of
late name no attribute of type be16 when they are asked for their rules (7.3)."""

_DIRECT, _GUE = 1, 2
_DOES: Final = BACKENDS[Module.FOU]


def _place(key: PortKey, peer: Address | None, peer_port: int) -> Attrs:
    if not key.port:
        raise UsageError("port 0: the kernel would choose one and never tell which", "give a port from 1 to 65535")
    attrs = port_key(key)
    if isinstance(peer, IPv4Address):
        attrs.append(("peer-v4", int(peer)))
    elif peer is not None:
        attrs.append(("peer-v6", peer.packed))
    if peer is not None:
        attrs.append(("peer-port", peer_port))
    return attrs


def _peer(port: Port) -> Address | None:
    return None if port.any_source else next(iter(port.sources)).network_address


def request(port: Port) -> Attrs:
    """Everything an ADD says.

    Raises:
        UsageError: the module cannot hold such a port.
    """
    _DOES.check_port(port)
    peer = _peer(port)
    if peer is not None and peer.version != port.key.family:
        raise UsageError(f"source {peer} is no IPv{port.key.family} address")
    attrs = _place(port.key, peer, port.from_port)
    if port.fou_protocol is None:
        attrs.append(("type", _GUE))
    else:
        attrs += [("ipproto", port.fou_protocol), ("type", _DIRECT)]
    if port.remcsum_nopartial:
        attrs.append(("remcsum-nopartial", True))
    return attrs


def key_request(port: Port) -> Attrs:
    """What names a port that is there, in a DEL or a GET: all of its place, as it was told."""
    # one that the kernel numbered (port 0) is named by that 0
    attrs = port_key(port.key)
    if port.from_port:
        attrs += _place(port.key, _peer(port), port.from_port)[len(attrs) :]
    return attrs


def _address(values: dict[str, object], name: str) -> Address | None:
    v4, v6 = values.get(f"{name}-v4"), values.get(f"{name}-v6")
    # the unspecified address stands for none
    if isinstance(v6, bytes) and len(v6) == 16 and any(v6):
        return IPv6Address(v6)
    return IPv4Address(v4) if isinstance(v4, int) and v4 else None


def decode(attrs: Attrs) -> Port:
    """The port that an answer speaks of.

    Of a connected one the kernel tells the local address that it chose as if it
    had been asked for.

    Raises:
        GutctlError: of a type this version does not know.
    """
    values = dict(attrs)
    family = 6 if values.get("family") == socket.AF_INET6 else 4
    peer = _address(values, "peer")
    local = _address(values, "local")
    kind = values.get("type")
    if kind == _DIRECT:
        protocol = int(values.get("ipproto", 0))
        accept, fou_protocol, inner = frozenset({Accept.FOU}), protocol, frozenset({protocol})
    elif kind == _GUE:
        accept, fou_protocol, inner = _DOES.accept, None, _DOES.inner
    else:
        raise GutctlError(f"the kernel module fou speaks of a type {kind} that this version does not know", "update gutctl")
    return Port(
        key=PortKey(family, values.get("port", 0), local, values.get("ifindex", 0)),
        accept=accept,
        fou_protocol=fou_protocol,
        inner=inner,
        any_source=peer is None,
        sources=frozenset() if peer is None else frozenset({ip_network(peer)}),
        zero_csum6=family == 6,
        remcsum_nopartial="remcsum-nopartial" in values,
        module=Module.FOU,
        from_port=0 if peer is None else values.get("peer-port", 0),
    )


def find(ports: Iterable[Port], key: PortKey) -> Port | None:
    """The port of that key; without a local address also a connected one, for which the kernel chose it.

    Raises:
        UsageError: several are connected and might be meant.
    """
    fitting = [p for p in ports if (p.key.family, p.key.port, p.key.ifindex) == (key.family, key.port, key.ifindex)]
    for port in fitting:
        if port.key == key:
            return port
    if key.local is not None:
        return None
    connected = [port for port in fitting if port.from_port]
    if len(connected) > 1:
        raise UsageError(
            f"port {key.port}/udp is there {len(connected)} times",
            "say which: " + " or ".join(sorted(f"--local {port.key.local}" for port in connected)),
        )
    return connected[0] if connected else None
