# SPDX-License-Identifier: Apache-2.0
"""Runs in a machine: octets over TCP, and what they hash to.

    transfer.py receive ADDRESS...          takes one connection for each, in this order, to its end
    transfer.py send OCTETS ADDRESS...      octets that nobody can guess, to each in this order

Both print ADDRESS OCTETS SHA256 for each connection. Exit status 1 where there is no connection within 120 seconds, or
nothing moves for 120.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time

PORT = 5001
SECONDS = 120


def listen(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, PORT), family=family)
    server.settimeout(SECONDS)
    return server


def receive(server: socket.socket) -> tuple[int, str]:
    total, digest = 0, hashlib.sha256()
    connection, _ = server.accept()
    with connection:
        connection.settimeout(SECONDS)
        while part := connection.recv(65536):
            total += len(part)
            digest.update(part)
    return total, digest.hexdigest()


def connect(address: str) -> socket.socket:
    limit = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection((address, PORT), timeout=SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def send(address: str, octets: int) -> tuple[int, str]:
    data = os.urandom(octets)
    with connect(address) as connection:
        connection.sendall(data)
    return octets, hashlib.sha256(data).hexdigest()


def main() -> int:
    match sys.argv[1:]:
        case ["receive", *addresses] if addresses:
            servers = [listen(address) for address in addresses]
            for address, server in zip(addresses, servers, strict=True):
                print(address, *receive(server), flush=True)
        case ["send", octets, *addresses] if addresses:
            for address in addresses:
                print(address, *send(address, int(octets)), flush=True)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        print(f"transfer: {error}", file=sys.stderr)
        sys.exit(1)
