# SPDX-License-Identifier: Apache-2.0
"""How messages speak of what a request was about."""

from __future__ import annotations

from gutctl.model import PortKey

__all__ = ["device_words", "port_words", "profile_words"]


def port_words(key: PortKey) -> str:
    """``port 6080/udp``, with the family where it is 6, local address and device where they are given."""
    text = f"port {key.port}/udp"
    if key.local is not None:
        text += f" on {key.local}"
    elif key.family == 6:
        text += " over IPv6"
    if key.ifindex:
        text += f" device {key.ifindex}"
    return text


def profile_words(number: int) -> str:
    """``profile 257``, or ``profile`` for any free one."""
    return f"profile {number}" if number else "profile"


def device_words(ifindex: int) -> str:
    """``device 3``: its number, as the kernel speaks of it."""
    return f"device {ifindex}"
