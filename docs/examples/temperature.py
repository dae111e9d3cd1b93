#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A new type of option, from its declaration to its delivery.

temperature.py send TUNNEL DEGREES     every packet of the tunnel says so from now on
temperature.py listen TUNNEL PORT      what the other end says, as it changes
"""

import sys

from gutctl import ext_api
from gutctl.cli import main as gutctl
from gutctl.ext_api import S16, U8, Delivered, OptionValue


class Temperature(OptionValue, name="temperature", number=0x3E):
    """Of the sender, in tenths of a degree Celsius."""

    tenths: S16
    sensor: U8 = 0


def send(tunnel: str, degrees: str) -> int:
    option = ext_api.format_option(Temperature(round(10 * float(degrees))).option())
    return gutctl(["ext", "attach", tunnel, option], standalone_mode=False)


def listen(tunnel: str, port: str) -> int:
    gutctl(["ext", "receive", "add", port, "temperature", "deliver"], standalone_mode=False)
    last = None
    with ext_api.watch(tunnel, Temperature, ready=lambda: print("listening", flush=True)) as seen:
        for one in seen:
            if isinstance(one, Delivered) and one.value != last:
                last = one.value
                print(f"{one.tunnel} {one.peer} {one.value.tenths / 10:.1f}", flush=True)
    return 0


sys.exit({"send": send, "listen": listen}[sys.argv[1]](*sys.argv[2:]))
