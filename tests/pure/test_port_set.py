# SPDX-License-Identifier: Apache-2.0
"""What can be changed of a port: the same settings at every door to the kernel, from the public one to the request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from fake_kernel import FakeKernel

from gutctl._nl import records
from gutctl.door import Door
from gutctl.model import PortKey
from gutctl.netlink import AsyncKernel, Kernel


def settings(function: Callable[..., Any]) -> set[str]:
    """Names that can be given, but for the port's."""
    return {name for name in inspect.signature(function).parameters if name not in ("self", "key")}


@pytest.mark.parametrize("door", [Kernel, AsyncKernel, Door, FakeKernel])
def test_port_set_takes_what_a_request_can_say(door: type[Any]) -> None:
    assert settings(door.port_set) == settings(records.port_change)


@pytest.mark.parametrize("door", [Kernel, AsyncKernel])
def test_and_hands_it_on(door: type[Any]) -> None:
    """Each of them is in what the session is told."""
    told: list[dict[str, Any]] = []

    class Ports:
        def port_set(self, key: PortKey, change: dict[str, Any]) -> None:
            told.append(change)

        def ports_of(self, module: object) -> Ports:
            return self

    made = door.__new__(door)

    def run(call: Callable[[Any], Any]) -> Any:
        call(Ports())

    async def run_later(call: Callable[[Any], Any]) -> Any:
        call(Ports())

    made.module = None
    made._run = run_later if inspect.iscoroutinefunction(door.port_set) else run
    done = made.port_set(PortKey(4, 6080))
    if inspect.iscoroutine(done):
        with pytest.raises(StopIteration):
            done.send(None)
    assert set(told[0]) == settings(records.port_change)
