# SPDX-License-Identifier: Apache-2.0
"""Requests to the family ``fou`` of the kernel's own module.

The same calls as those of the family ``gutless``, as far as the module goes. It
says next to nothing about why it refuses, and some of its answers mean something
else than elsewhere; they are translated here.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Final

from gutctl.errors import ConflictError, GutctlError, InUseError, NotFoundError, UnsupportedError
from gutctl.model import Info, Port, PortKey, Profile, Stats

from . import proc
from .errors import KernelRefusal, family_missing, translate
from .fou_records import ADD, BINDING, DEL, FOU, GET, VERSION, decode, find, key_request, request
from .genl import Family
from .sockets import ACK, DUMP, REPLY, Door, genl_class
from .words import port_words

__all__ = ["ENCAP_FOU", "ENCAP_GUE", "Fou"]

ENCAP_FOU: Final = 1
"""TUNNEL_ENCAP_FOU."""
ENCAP_GUE: Final = 2
"""TUNNEL_ENCAP_GUE."""

_MESSAGE: Final = genl_class(FOU)

ONE_PART: Final = 30
"""Entries that surely fit in one part of a dump: a page, some hundred octets each."""

_NO_SET: Final = "the in-tree module cannot change a port while it runs"
_NO_PROFILES: Final = "the in-tree module has no profiles"


def _refused(command: int, what: str, refusal: KernelRefusal) -> GutctlError:
    """The error for a refusal, which comes without a sentence."""
    code = refusal.code
    error: GutctlError
    if command == DEL and code == errno.EINVAL or code == errno.ESRCH:
        error = NotFoundError(f"{what}: not found")
    elif code == errno.EALREADY:
        error = ConflictError(f"{what}: exists already")
    elif code in (errno.EAFNOSUPPORT, errno.EPFNOSUPPORT):
        error = UnsupportedError(f"{what}: this kernel has no IPv6", "IPv6 has been turned off at boot (ipv6.disable)")
    elif code == errno.EADDRNOTAVAIL:
        error = GutctlError(f"{what}: the local address is not on this host", "ip address")
    elif code == errno.ERANGE:
        error = GutctlError(f"{what}: a value is out of the range that this kernel takes", "update gutctl")
    elif code in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        error = NotFoundError(f"{what}: no route to the one it is to take packets from", "ip route")
    elif code == errno.EPERM:
        return translate(what, refusal, hint="run it as root of the host: the in-tree module does not serve user namespaces")
    elif code == errno.EINVAL and not refusal.sentence:
        error = GutctlError(f"{what}: the module fou refuses it, and does not say why")
    else:
        return translate(what, refusal)
    error.errno = code
    return error


def _fou6() -> bool:
    """Whether the module behind links over IPv6 seems to be there; only a link can tell surely."""
    if os.path.isdir("/sys/module/fou6"):
        return True
    try:
        with open(f"/lib/modules/{os.uname().release}/modules.builtin") as lines:
            return any(line.rstrip().endswith("/fou6.ko") for line in lines)
    except OSError:
        return True  # no way to tell: the kernel will


class Fou:
    """The family, with the calls that the door makes."""

    def __init__(self, opener: Callable[[], Door], name: str = "fou") -> None:
        self._family = Family(opener, name, VERSION, lambda: family_missing("fou"), _MESSAGE, quiet=True, refused=_refused)
        self._known: tuple[int, frozenset[int]] = (0, frozenset())

    def close(self) -> None:
        self._family.close()

    def _binds(self) -> bool:
        """Whether the running module knows ports bound to an address or connected to a peer."""
        if self._known[0] != self._family.id or not self._family.id:
            known = self._family.known()
            self._known = self._family.id, known
        return BINDING in self._known[1]

    def info(self) -> Info:
        """What the module is; it has no version, and no limits but the ports there are.

        Features: ``ipv6`` links over IPv6, ``bind`` local addresses and peers of ports, ``remcsum``
        (always).
        """
        features = {name for name, there in (("bind", self._binds()), ("ipv6", _fou6()), ("remcsum", True)) if there}
        return Info(
            version="",
            features=frozenset(features),
            max_ports=65535,
            max_sources=1,
            max_profiles=0,
            max_nesting=0,
            ports=len(self.ports()),
            profiles=0,
            unprivileged=False,
            encap_bare=ENCAP_FOU,
            encap_header=ENCAP_GUE,
            plain=Stats(),
        )

    def port_add(self, port: Port) -> None:
        attrs = request(port)
        what = port_words(port.key)
        if (port.from_port or port.key.local is not None) and not self._binds():
            raise UnsupportedError(
                f"{what}: this kernel's module fou knows neither local address nor peer of a port",
                "a newer kernel, or a port without them: --any-source",
            )
        try:
            self._family.request(_MESSAGE, ADD, ACK, attrs, what)
        except InUseError as error:
            raise self._in_use(port, error) from None

    def _in_use(self, port: Port, error: InUseError) -> GutctlError:
        """EADDRINUSE is all it says, be it this very port that is there already or anybody else's."""
        what = port_words(port.key)
        better: GutctlError = error
        for other in self.ports():
            same_peer = (other.sources, other.from_port) == (port.sources, port.from_port)
            # without a local address the kernel chose one for a connected port
            chosen = port.from_port and replace(port.key, local=other.key.local) == other.key
            if same_peer and (other.key == port.key or (chosen and port.key.local is None)):
                better = ConflictError(f"{what}: exists already")
                break
            if (other.key.family, other.key.port) == (port.key.family, port.key.port):
                better = InUseError(f"{what}: {port_words(other.key)} is there, which it would include", "take another port")
        else:
            owner = proc.udp_port_owner(port.key.family, port.key.port)
            if better is error and owner is not None:
                better = InUseError(f"{what}: in use by another socket ({owner})", "take another port, or stop that program")
        better.errno = error.errno
        return better

    def port_set(self, key: PortKey, change: dict[str, Any]) -> None:
        if any(value not in (None, ()) for value in change.values()):
            raise UnsupportedError(f"{port_words(key)}: {_NO_SET}", "delete it and add it anew")

    def port_del(self, key: PortKey) -> None:
        what = port_words(key)
        port = self.port(key)
        if port is None:
            error = NotFoundError(f"{what}: not found")
            error.errno = errno.EINVAL
            raise error
        self._family.request(_MESSAGE, DEL, ACK, key_request(port), what)

    def port(self, key: PortKey) -> Port | None:
        # asked for as it stands a port has no peer; of a connected one the whole dump tells
        one = self._get(Port(key)) if key.port else None
        return one or find(self.ports(), key)

    def ports(self) -> list[Port]:
        """All of them, each once, though the module's dump passes over one where a part ends."""
        found = {}
        for attrs in self._family.request(_MESSAGE, GET, DUMP, [], "ports"):
            port = decode(attrs)
            found[port.key, port.from_port] = port
        if len(found) > ONE_PART:
            for port in self._passed_over(set(found)):
                found[port.key, port.from_port] = port
        return sorted(found.values(), key=_order)

    def _passed_over(self, known: set[tuple[PortKey, int]]) -> Iterator[Port]:
        """Ports that are not among the known ones: by asking for each other UDP socket of the namespace."""
        indexes = [0, *(index for index, _ in socket.if_nameindex())]
        for one in proc.udp_sockets():
            for index in indexes if one.local is not None else indexes[:1]:
                key = PortKey(one.family, one.port, one.local, index)
                if (key, one.peer_port) in known:
                    break
                sources = frozenset() if one.peer is None else frozenset({ip_network(one.peer)})
                port = self._get(Port(key, sources=sources, from_port=one.peer_port))
                if port is not None:
                    yield port
                    break

    def _get(self, asked: Port) -> Port | None:
        """What the kernel has of that key and peer."""
        try:
            answers = self._family.request(_MESSAGE, GET, REPLY, key_request(asked), port_words(asked.key))
        except NotFoundError:
            return None
        return decode(answers[0]) if answers else None

    def profile_add(self, profile: Profile) -> Profile:
        raise UnsupportedError(_NO_PROFILES)

    def profile_set(self, number: int, change: dict[str, Any]) -> None:
        raise UnsupportedError(_NO_PROFILES)

    def profile_del(self, number: int) -> None:
        raise UnsupportedError(_NO_PROFILES)

    def profile(self, number: int) -> Profile | None:
        return None

    def profiles(self) -> list[Profile]:
        return []


def _order(port: Port) -> tuple[int, int, int, int, int]:
    key = port.key
    # "any address" comes before every address; None and an address do not compare
    return key.family, key.port, -1 if key.local is None else int(key.local), key.ifindex, port.from_port
