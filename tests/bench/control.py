# SPDX-License-Identifier: Apache-2.0
"""The control plane inside the counting machine: what tunnels by the thousand cost, ours and iproute2's.

    python3 tests/bench/control.py [TUNNELS]

That machine's clock advances by a nanosecond with every instruction, and by as much as is waited for where somebody
sleeps. So what is told as seconds does not depend on the host. Prints "control JSON" at the end; peak memory is each
process's own. ``control.py library N`` and ``control.py command N`` are such processes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

NETNS = "control"
LOCAL = "192.0.2.1"
FIRST = int(IPv4Address("198.18.0.1"))


def remote(number: int) -> IPv4Address:
    """Of tunnel so-and-so."""
    return IPv4Address(FIRST + number)


def batch(count: int) -> str:
    """The same tunnels in words of iproute2: in-tree fou's, which has no list of senders."""
    lines = ["fou add port 6080 gue"]
    for n in range(count):
        encap = "encap gue encap-sport auto encap-dport 6080 encap-csum"
        lines += [f"link add t{n} type ipip local {LOCAL} remote {remote(n)} ttl 64 {encap}", f"link set dev t{n} up mtu 1400"]
    return "\n".join(lines) + "\n"


def library(count: int) -> None:
    """Tunnels by gutctl's library: a port, and for each a link and its peer let in."""
    from ipaddress import ip_network

    from gutctl.model import Link, Port, PortKey
    from gutctl.netlink import Kernel

    with Kernel(NETNS) as kernel:
        key = PortKey(4, 6080)
        sources = frozenset({ip_network(remote(0))})
        kernel.port_add(Port(key, sources=sources))
        for n in range(count):
            if n:
                kernel.port_set(key, add_sources={ip_network(remote(n))})
            kernel.link_add(
                Link(
                    name=f"t{n}", kind="ipip", local=IPv4Address(LOCAL), remote=remote(n), encap_type=4, encap_flags=1,
                    encap_sport=0, encap_dport=6080, protocol=4, ttl=64, mtu=1400, alias="",
                )
            )  # fmt: skip
            kernel.link_set(f"t{n}", up=True)


def command(count: int) -> None:
    """Tunnels by gutctl's command line, called again and again in one process."""
    from gutctl.cli import main

    for n in range(count):
        sys.argv = ["gutctl", "-n", NETNS, "tunnel", "add", f"t{n}", "--remote", str(remote(n)), "--local", LOCAL]
        said = io.StringIO()
        code: object = 0
        with contextlib.redirect_stdout(said):
            try:
                code = main()
            except SystemExit as leaving:
                code = leaving.code
        if code:
            sys.exit(f"control: {' '.join(sys.argv)}: status {code}: {said.getvalue()}")


def run(words: Sequence[str], text: str = "") -> tuple[float, float]:
    """Seconds and mebibytes of a process; it must succeed."""
    started = time.monotonic()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"control: {' '.join(words)}: status {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def fresh() -> None:
    """A namespace with nothing in it but a device to send by."""
    subprocess.run(["ip", "netns", "del", NETNS], stderr=subprocess.DEVNULL, check=False)
    setup = f"link set lo up\nlink add e type dummy\naddr add {LOCAL}/24 dev e\nlink set e up\nroute add 198.18.0.0/15 dev e\n"
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    subprocess.run(["ip", "-n", NETNS, "-batch", "-"], input=setup, text=True, check=True)


def main() -> int:
    if len(sys.argv) == 3:
        {"library": library, "command": command}[sys.argv[1]](int(sys.argv[2]))
        return 0
    tunnels = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    few = max(1, tunnels // 20)
    me = ["python3", __file__]
    ip = ["ip", "-n", NETNS, "-batch", "-"]
    tasks: list[tuple[str, list[str], str]] = [
        (f"{tunnels:,} tunnels, `ip -batch`", ip, batch(tunnels)),
        (f"{tunnels:,} tunnels, one process with gutctl's library", [*me, "library", str(tunnels)], ""),
        (f"{few:,} tunnels, `ip -batch`", ip, batch(few)),
        (f"{few:,} tunnels, `gutctl tunnel add` called {few:,} times in one process", [*me, "command", str(few)], ""),
        ("start-up: `ip -V`", ["ip", "-V"], ""),
        ("start-up: `python3 -c pass`", ["python3", "-c", "pass"], ""),
        ("start-up: `gutctl --version`", ["gutctl", "--version"], ""),
        ("start-up: `gutctl port list`", ["gutctl", "-n", NETNS, "port", "list"], ""),
    ]
    rows = []
    for what, words, text in tasks:
        fresh()
        seconds, mebibytes = run(words, text)
        rows.append({"what": what, "seconds": round(seconds, 3), "mebibytes": round(mebibytes)})
        print(f"taken {what}: {seconds:.3f} s, {mebibytes:.0f} MiB", flush=True)
    print("control", json.dumps(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
