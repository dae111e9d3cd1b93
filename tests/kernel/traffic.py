# SPDX-License-Identifier: Apache-2.0
"""Packets sent and watched: waiting with a deadline, capture, ping, a TCP stream compared by its hash."""

from __future__ import annotations

import hashlib
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from net import Host

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33


def wait_until(predicate: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Ask `predicate` until it is true. Raises AssertionError when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or getattr(predicate, '__name__', predicate)}")
        time.sleep(pause)
        pause = min(pause * 2, 0.2)


class Capture:
    """Frames that a device of a host sees, as octets with the Ethernet header, while the `with` block lasts.

    A frame that is sent with offloads on is seen as it is handed to the device: unfinished, perhaps 64 KiB long.
    """

    def __init__(
        self,
        host: Host,
        device: str,
        match: Callable[[bytes], object] = lambda frame: True,
        *,
        incoming: bool = True,
        outgoing: bool = True,
    ) -> None:
        self.frames: list[bytes] = []
        self._match = match
        self._wanted = (incoming, outgoing)
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind((device, ETH_P_ALL))
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._stopping)
        self._thread.join()
        os.close(self._stop)
        self._socket.close()

    def _read(self) -> None:
        stopping = False
        while True:
            ready, _, _ = select.select([self._socket.fileno(), self._stop], [], [], 0 if stopping else None)
            if self._socket.fileno() in ready:
                frame, address = self._socket.recvfrom(1 << 17)
                outgoing = address[2] == PACKET_OUTGOING
                if self._wanted[outgoing] and self._match(frame):
                    self.frames.append(frame)
            elif stopping:
                return
            stopping = stopping or self._stop in ready

    def wait(self, count: int = 1, seconds: float = 10.0) -> list[bytes]:
        """Wait until `count` matching frames have come and return all so far. Raises AssertionError when late."""
        wait_until(lambda: len(self.frames) >= count, seconds, f"{count} frames captured, {len(self.frames)} so far")
        return list(self.frames)


@dataclass(frozen=True)
class Ping:
    """What ping(8) counted."""

    sent: int
    received: int
    output: str


def ping(
    host: Host, address: str, count: int = 2, size: int = 56, interval: float = 0.05, wait: float = 3.0, *options: str
) -> Ping:
    """Send echo requests with `size` octets of data; `wait` seconds for the last answer. Never raises on loss."""
    done = host.run(
        "ping", "-n", "-c", str(count), "-s", str(size), "-i", str(interval), "-W", str(wait), *options, address,
        check=False,
    )  # fmt: skip
    found = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
    if not found:
        raise AssertionError(f"ping {address} failed: {done.stdout}{done.stderr}")
    return Ping(int(found[1]), int(found[2]), done.stdout)


def assert_ping(host: Host, address: str, count: int = 2, size: int = 56, *options: str) -> None:
    """Every echo request is answered, or AssertionError."""
    result = ping(host, address, count, size, 0.05, 3.0, *options)
    assert result.received == result.sent == count, f"{host} -> {address}, {size} octets:\n{result.output}"


@dataclass(frozen=True)
class Transfer:
    """A TCP stream as both ends saw it: octets, SHA-256 in hex; duration in seconds."""

    sent: int
    received: int
    sent_hash: str
    received_hash: str
    seconds: float


def tcp_transfer(
    source: Host, target: Host, address: str, octets: int = 4 << 20, port: int = 5001, timeout: float = 60.0
) -> Transfer:
    """Send a stream of random octets from `source` to `address`, which is `target`'s. Raises OSError, TimeoutError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = target.socket(family, socket.SOCK_STREAM)
    sender = source.socket(family, socket.SOCK_STREAM)
    result: list[tuple[int, str]] = []
    trouble: list[BaseException] = []

    def receive() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(timeout)
                digest, count = hashlib.sha256(), 0
                while chunk := connection.recv(1 << 18):
                    digest.update(chunk)
                    count += len(chunk)
            result.append((count, digest.hexdigest()))
        except BaseException as error:  # noqa: BLE001 - raised below
            trouble.append(error)

    with listener, sender:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1)
        listener.settimeout(timeout)
        sender.settimeout(timeout)
        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        block = os.urandom(1 << 18)
        digest, count = hashlib.sha256(), 0
        started = time.monotonic()
        sender.connect((address, port))
        while count < octets:
            # Every block begins with its place in the stream, so that a repeated or swapped one changes the hash.
            chunk = (count.to_bytes(8, "big") + block[8:])[: octets - count]
            sender.sendall(chunk)
            digest.update(chunk)
            count += len(chunk)
        sender.shutdown(socket.SHUT_WR)
        thread.join(timeout)
        seconds = time.monotonic() - started
    if trouble:
        raise trouble[0]
    if not result:
        raise TimeoutError(f"the receiver at {address} did not see the end of the stream within {timeout:g} s")
    return Transfer(count, result[0][0], digest.hexdigest(), result[0][1], seconds)


def assert_tcp(source: Host, target: Host, address: str, octets: int = 4 << 20, **options: float) -> Transfer:
    """The stream arrives whole and unchanged, or AssertionError."""
    done = tcp_transfer(source, target, address, octets, **options)  # type: ignore[arg-type]
    assert (done.received, done.received_hash) == (done.sent, done.sent_hash), done
    return done
