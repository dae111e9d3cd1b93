# SPDX-License-Identifier: Apache-2.0
"""Words of the command line into values, or a sentence why not.

Every function raises :class:`gutctl.errors.UsageError` and touches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)

from gutctl.errors import UnsupportedError, UsageError
from gutctl.model import DEFAULT_SOURCE_PORTS, Accept, Address, Answer, Csum, Format, Info, Network

__all__ = [
    "accept",
    "address",
    "answers",
    "device_name",
    "gre_key",
    "host_network",
    "inner_protocols",
    "interface_address",
    "link_name",
    "pair",
    "port_number",
    "prefix",
    "protocol",
    "remote_address",
    "remote_checksum",
    "source_ports",
]

PROTOCOLS = {"icmp": 1, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47,
             "esp": 50, "sctp": 132, "udplite": 136, "ethernet": 143}  # fmt: skip
"""Names accepted beside numbers (IANA protocol numbers)."""

_NAME = re.compile(r"[^/:\s]{1,15}")


def link_name(text: str) -> str:
    """A device's name: 1-15 octets, no slash, colon or space (the kernel's rule)."""
    if text in ("", ".", ".."):
        raise UsageError(f"{text!r} cannot be the name of a device")
    if len(text.encode()) > 15:
        raise UsageError(f"the name {text} is longer than 15 octets", "the kernel's device names end there")
    if not _NAME.fullmatch(text) or not text.isprintable():
        raise UsageError(f"the name {text!r} has a slash, a colon or a space in it")
    return text


def device_name(text: str) -> str:
    """The name of a lower device."""
    return link_name(text)


def _no_zone(text: str, what: str) -> None:
    if "%" in text:
        raise UsageError(
            f"{what} {text}: an address with a zone cannot be used",
            "give a global address; link-local ones say nothing without their device",
        )


def address(text: str, what: str = "address") -> Address:
    """An IPv4 or IPv6 address: no prefix, zone, nor IPv4-mapped form."""
    _no_zone(text, what)
    if "/" in text:
        raise UsageError(f"{what} {text}: an address without a prefix length is wanted")
    try:
        value = ip_address(text.strip("[]") if text.startswith("[") else text)
    except ValueError:
        raise UsageError(f"{what} {text}: neither an IPv4 nor an IPv6 address") from None
    if isinstance(value, IPv6Address) and value.ipv4_mapped is not None:
        raise UsageError(
            f"{what} {text}: an IPv4-mapped address is no IPv6 address on the wire",
            f"write {value.ipv4_mapped}",
        )
    return value


def _unicast(value: Address, what: str) -> Address:
    if value.is_unspecified:
        raise UsageError(f"{what} {value}: the unspecified address names nobody")
    if value.is_multicast:
        raise UsageError(f"{what} {value}: a tunnel has one peer, not a multicast group")
    if value == IPv4Address("255.255.255.255"):
        raise UsageError(f"{what} {value}: a tunnel has one peer, not a broadcast address")
    if isinstance(value, IPv6Address) and value.is_link_local:
        raise UsageError(
            f"{what} {value}: link-local addresses say nothing without their device",
            "give a global address",
        )
    return value


def remote_address(text: str) -> Address:
    """The peer's address: unicast, not link-local."""
    return _unicast(address(text, "remote"), "remote")


def local_address(text: str) -> Address:
    """This end's address: unicast, not link-local."""
    return _unicast(address(text, "local"), "local")


def pair(local: Address | None, remote: Address) -> None:
    """Both ends of one tunnel: same family, different."""
    if local is None:
        return
    if local.version != remote.version:
        raise UsageError(
            f"local {local} is IPv{local.version}, remote {remote} is IPv{remote.version}",
            f"the outer packet has one family: give an IPv{remote.version} address as --local",
        )
    if local == remote:
        raise UsageError(f"local and remote are the same address, {remote}")


def prefix(text: str, what: str = "--from", family: int | None = None) -> Network:
    """A prefix without host bits; an address alone is that host."""
    _no_zone(text, what)
    try:
        value = ip_interface(text)
    except ValueError:
        raise UsageError(
            f"{what} {text}: neither an address nor a prefix",
            "for example 198.51.100.0/24 or 2001:db8::/48",
        ) from None
    if isinstance(value, IPv6Interface) and value.ip.ipv4_mapped is not None:
        raise UsageError(f"{what} {text}: write the IPv4 prefix itself")
    network = ip_network(value.network)
    if value.ip != network.network_address:
        raise UsageError(
            f"{what} {text}: there are bits set behind the prefix",
            f"the network is {network}, the host is {value.ip}",
        )
    if family is not None and network.version != family:
        raise UsageError(f"{what} {text}: an IPv{family} prefix is wanted here")
    return network


def host_network(value: Address) -> Network:
    """The prefix that holds one address."""
    return ip_network(value)


def interface_address(text: str) -> str:
    """``address/length`` for a device, in its canonical spelling."""
    _no_zone(text, "--address")
    try:
        value = ip_interface(text)
    except ValueError:
        raise UsageError(f"--address {text}: not an address with a prefix length", "for example 10.9.0.1/30") from None
    if value.ip.is_multicast or value.ip.is_unspecified:
        raise UsageError(f"--address {text}: no device can have this address")
    return str(value)


def port_number(text: str | int, what: str = "port") -> int:
    """A UDP port, 1-65535."""
    try:
        value = int(str(text), 10)
    except ValueError:
        raise UsageError(f"{what} {text}: not a port number") from None
    if not 1 <= value <= 65535 or not str(text).isascii() or not str(text).isdigit():
        raise UsageError(f"{what} {text}: ports are numbered 1 to 65535")
    return value


def source_ports(text: str) -> tuple[int, int]:
    """``auto``, one port, or a range: both ends included."""
    if text == "auto":
        return DEFAULT_SOURCE_PORTS
    first, dash, last = text.partition("-")
    low = port_number(first, "--sport")
    high = port_number(last, "--sport") if dash else low
    if low > high:
        raise UsageError(f"--sport {text}: the range ends before it begins", f"--sport {high}-{low}")
    return low, high


def gre_key(text: str) -> int:
    """A GRE key (RFC 2890): 32 bits, as a number or written like an IPv4 address."""
    try:
        value = int(IPv4Address(text)) if "." in text else int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFFFFFF:
        raise UsageError(f"--key {text}: a number from 0 to 4294967295 is wanted", "or as A.B.C.D")
    return value


def protocol(text: str) -> int:
    """An IP protocol: its number, 1-255, or a common name."""
    if text.lower() in PROTOCOLS:
        return PROTOCOLS[text.lower()]
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 255:
        raise UsageError(f"protocol {text}: a number from 1 to 255, or one of {', '.join(PROTOCOLS)}")
    return int(text)


def inner_protocols(text: str) -> frozenset[int]:
    """A list of IP protocols, comma between them."""
    return frozenset(protocol(word.strip()) for word in text.split(","))


def accept(text: str) -> tuple[frozenset[Accept], int | None]:
    """``fou:PROTO`` alone, or some of gue0, bare, gutless, comma between them."""
    words = [word.strip() for word in text.split(",")]
    formats = set()
    fou_protocol = None
    for word in words:
        name, colon, rest = word.partition(":")
        if name == Accept.FOU:
            if not colon:
                raise UsageError(
                    "--accept fou: FOU does not say what is inside, so the port must",
                    "for example --accept fou:ipv4",
                )
            fou_protocol = protocol(rest)
        elif colon or name not in set(Accept):
            raise UsageError(f"--accept {word}: fou:PROTO, gue0, bare or gutless is wanted")
        formats.add(Accept(name))
    if Accept.FOU in formats and len(words) > 1:
        raise UsageError("--accept: a FOU port accepts nothing else", "take another port for it")
    return frozenset(formats), fou_protocol


def answers(text: str) -> frozenset[Answer]:
    """What a port sends of its own accord: ``echo``, ``report``, both, or ``none``."""
    words = text.split(",")
    if words == ["none"]:
        return frozenset()
    if unknown := [word for word in words if word not in set(Answer)]:
        raise UsageError(f"--control {text}: {unknown[0]!r}", f"{', '.join(Answer)}, or none")
    return frozenset(map(Answer, words))


def remote_checksum(form: Format, csum: Csum, info: Info | None = None) -> None:
    """Whether a format has a checksum mode, and the module too.

    ``info``: the loaded module, None: only the format is looked at. Raises UnsupportedError
    where the module cannot.
    """
    if csum is Csum.REMOTE and form is Format.FOU:
        raise UsageError(f"--csum {csum}: FOU has no header that could say it", "--format gue or --format gutless")
    if csum is Csum.REMOTE_DRAFT and form is not Format.GUE:
        raise UsageError(f"--csum {csum} is the GUE draft's form, not one of format {form}", "--csum remote or --format gue")
    if csum is Csum.NEUTRAL and form is not Format.GUTLESS:
        raise UsageError(f"--csum {csum}: format {form} has no Check word", "--format gutless")
    if csum is Csum.NEUTRAL and info is not None and "neutral" not in info.features:
        raise UnsupportedError(f"gutless {info.version} knows no --csum {csum}", "load a newer module, or --csum full")
    if csum.remote and info is not None and "remcsum" not in info.features:
        raise UnsupportedError(f"gutless {info.version} knows no --csum {csum}", "load a newer module, or --csum full")


def one_family(networks: Iterable[Network], what: str = "--from") -> int | None:
    """The family of all of them, None where there are none."""
    families = {network.version for network in networks}
    if len(families) > 1:
        raise UsageError(f"{what}: IPv4 and IPv6 prefixes together", "a port has one family: make two ports")
    return families.pop() if families else None
