# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: what gutless needs of the kernel's own, and gutless itself, loaded and taken out again."""

from __future__ import annotations

from pathlib import Path

from net import run

GUTLESS = Path(__file__).resolve().parents[2] / "kmod" / "gutless.ko"
#: Of the kernel's own: what gutless leans on, the tunnels it carries, and the in-tree fou, the other end of many tests.
NEEDED = (
    *("udp_tunnel", "ip6_udp_tunnel", "ip_tunnel", "tunnel4", "tunnel6", "fou", "fou6", "veth", "sctp"),
    *("ipip", "sit", "ip_gre", "ip6_tunnel", "ip6_gre", "nf_tables", "nf_nat", "nft_chain_nat", "nft_masq", "nft_ct"),
)


def load_needed(*names: str) -> None:
    """Load the kernel's own modules, all of NEEDED or those named. Raises CommandError."""
    run("modprobe", "-a", *(names or NEEDED))


def loaded() -> bool:
    """Whether gutless is in the kernel."""
    return Path("/sys/module/gutless").exists()


def load(*parameters: str) -> None:
    """Load gutless with parameters (`name=value`). Raises CommandError; AssertionError where it has not been built."""
    assert GUTLESS.exists(), f"{GUTLESS} is missing: build it by make module"
    run("insmod", str(GUTLESS), *parameters)


def unload() -> None:
    """Take gutless out. Raises CommandError, for instance while something uses it."""
    run("rmmod", "gutless")
