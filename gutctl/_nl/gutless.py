# SPDX-License-Identifier: Apache-2.0
"""Requests to the family ``gutless``: ports, profiles, what the module is."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gutctl.delivered import DeliveredOption
from gutctl.errors import GutctlError, UnsupportedError
from gutctl.model import Address, ControlMessage, Info, OnPath, Port, PortKey, Profile

from . import answers, device_records, records
from .delivered import messages
from .errors import KernelRefusal, family_missing, translate
from .events import Event, Lost
from .family import (
    CMD,
    CONTROL,
    DELIVERED,
    DEVICE,
    EVENTS,
    INFO,
    NOTIFICATIONS,
    PORT,
    PROFILE,
    VERSION,
)
from .genl import Family
from .sockets import ACK, DUMP, REPLY, Door, genl_class, plain
from .tlv import Attrs
from .words import device_words, port_words, profile_words

__all__ = ["Gutless"]

_TABLES: Final = {"info": INFO, "port": PORT, "profile": PROFILE, "option": DELIVERED, "device": DEVICE, "echo": CONTROL, "control": CONTROL}
_CLASSES: Final = {table.name: genl_class(table) for table in _TABLES.values()}
_TABLE_OF_COMMAND: Final = {
    number: _TABLES[name.partition("-")[0]]
    for name, number in CMD.items()
}


_DECODERS: Final[Mapping[str, Callable[[Attrs], Port | Profile | OnPath]]] = {
    "port": answers.decode_port,
    "profile": answers.decode_profile,
    "device": device_records.decode_onpath,
}
"""Records of events, by their kind."""


class _Any:
    """Chooses the class of an answer by its command, which stands behind the netlink header."""

    def __new__(cls, data: Any = None, offset: int = 0, **kwargs: Any) -> Any:
        command = data[offset + 16] if data is not None and len(data) > offset + 16 else 0
        table = _TABLE_OF_COMMAND.get(command, INFO)
        return _CLASSES[table.name](data, offset=offset, **kwargs)


class Gutless:
    """The family, by the name it is registered under."""

    def __init__(self, opener: Callable[[], Door], name: str) -> None:
        self._family = Family(opener, name, VERSION, family_missing, _Any)

    def close(self) -> None:
        self._family.close()

    @property
    def _door(self) -> Door:
        return self._family.door

    def _request(self, command: str, flags: int, attrs: Attrs, what: str) -> list[Attrs]:
        number = CMD[command]
        kind = _CLASSES[_TABLE_OF_COMMAND[number].name]
        return self._family.request(kind, number, flags, attrs, what)

    def _one(self, command: str, attrs: Attrs, what: str) -> Attrs:
        answers = self._request(command, REPLY, attrs, what)
        if not answers:
            raise GutctlError(f"{what}: the kernel did not answer")
        return answers[0]

    def info(self) -> Info:
        return answers.decode_info(self._one("info-get", [], "module gutless"))

    def port_add(self, port: Port) -> None:
        self._request("port-add", ACK, records.port_request(port), port_words(port.key))

    def port_set(self, key: PortKey, change: dict[str, Any]) -> None:
        self._request("port-set", ACK, records.port_change(key, **change), port_words(key))

    def port_del(self, key: PortKey) -> None:
        self._request("port-del", ACK, records.port_key(key), port_words(key))

    def port(self, key: PortKey) -> Port | None:
        # a dump narrowed to the key, as one answer cannot hold any number of sources
        ports = answers.coalesce(self._request("port-get", DUMP, records.port_key(key), port_words(key)))
        return next((port for port in ports if port.key == key), None)

    def ports(self) -> list[Port]:
        return answers.coalesce(self._request("port-get", DUMP, [], "ports"))

    def profile_add(self, profile: Profile) -> Profile:
        attrs = records.profile_request(profile)
        return answers.decode_profile(self._one("profile-add", attrs, profile_words(profile.number)))

    def profile_set(self, number: int, change: dict[str, Any]) -> None:
        self._request("profile-set", ACK, records.profile_change(number, **change), profile_words(number))

    def profile_del(self, number: int) -> None:
        self._request("profile-del", ACK, records.profile_change(number), profile_words(number))

    def profile(self, number: int) -> Profile | None:
        what = profile_words(number)
        try:
            return answers.decode_profile(self._one("profile-get", records.profile_change(number), what))
        except GutctlError as error:
            if error.errno == errno.ENOENT and not isinstance(error, UnsupportedError):
                return None
            raise

    def profiles(self) -> list[Profile]:
        found = self._request("profile-get", DUMP, [], "profiles")
        return sorted((answers.decode_profile(a) for a in found), key=lambda p: p.number)

    def echo(self, key: PortKey, peer: Address, peer_port: int, body: bytes, options: bytes, ifindex: int) -> int:
        attrs = records.echo_request(key, peer, peer_port, body, options, ifindex)
        answer = dict(self._one("echo", attrs, f"echo request to {peer} port {peer_port}"))
        return int(answer.get("time", 0))

    def onpath_set(self, ifindex: int, change: dict[str, Any]) -> None:
        self._request("device-set", ACK, device_records.onpath_change(ifindex, **change), device_words(ifindex))

    def onpath(self, ifindex: int) -> OnPath:
        attrs = device_records.onpath_change(ifindex)
        return device_records.decode_onpath(self._one("device-get", attrs, device_words(ifindex)))

    def onpaths(self) -> list[OnPath]:
        answers = self._request("device-get", DUMP, [], "devices")
        return sorted((device_records.decode_onpath(a) for a in answers), key=lambda d: d.ifindex)

    def subscribe(self, group: str = EVENTS) -> None:
        """Become a member of a multicast group."""
        self._family.resolve()
        if group not in self._family.groups:
            raise UnsupportedError(f"the module gutless has no group for {group}", "update the module")
        try:
            self._door.join(self._family.groups[group])
        except OSError as error:
            raise translate(group, KernelRefusal(error.errno or errno.EIO)) from None

    def plain_socket(self) -> socket.socket:
        """A copy of the socket, for who waits for events."""
        return self._door.plain_socket()

    def control_in(self, data: bytes) -> list[ControlMessage | Lost]:
        """Control messages in a datagram of their group; may be called in any thread."""
        messages = self._door.marshal.parse(data)
        return [answers.decode_control(plain(one)) for one in messages if one["cmd"] == CMD["control-ntf"]]

    def events_in(self, data: bytes) -> list[Event]:
        """Events in a datagram of the group; may be called in any thread."""
        now = datetime.now(UTC)
        events = []
        for message in self._door.marshal.parse(data):
            try:
                kind, action = NOTIFICATIONS[message["cmd"]]
            except KeyError:
                continue  # an answer, or an event newer than this version
            attrs = plain(message)
            events.append(Event(kind, action, now, _DECODERS[kind](attrs)))
        return events

    def options_in(self, data: bytes) -> Iterator[DeliveredOption]:
        """Delivered options in a datagram of their group; may be called in any thread."""
        return messages(data, self._family.id)
