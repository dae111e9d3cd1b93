# SPDX-License-Identifier: Apache-2.0
"""Events as they happen, and the asynchronous side of the door; one host, no topology."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, ip_address

import pytest
from net import Host, Net

from gutctl.errors import ConflictError, GutctlError, NotFoundError
from gutctl.model import Csum, Format, Link, Port, PortKey, Profile
from gutctl.netlink import AsyncKernel, Event, EventStream, Kernel, Lost

SECONDS = 60
PORT = Port(PortKey(4, 6080), sources=frozenset({IPv4Network("192.0.2.0/24")}))


@pytest.fixture
def host(gutless: None, net: Net) -> Host:
    return net.host("red")


@pytest.fixture
def kernel(host: Host) -> Iterator[Kernel]:
    with Kernel(host.name) as made:
        yield made


def take(stream: EventStream, count: int) -> list[Event | Lost]:
    """That many events; fails, instead of waiting for ever, when they do not come."""
    late = threading.Timer(SECONDS, stream.close)
    late.start()
    try:
        found = [event for _, event in zip(range(count), stream, strict=False)]
    finally:
        late.cancel()
    assert len(found) == count, f"only {len(found)} of {count} events came: {found}"
    return found


def everything(kernel: Kernel) -> list[tuple[str, str, Port | Profile]]:
    """One of each change, and the events it must give."""
    more = replace(PORT, sources=PORT.sources | {IPv4Network("10.0.0.0/8")})
    kernel.port_add(PORT)
    kernel.port_set(PORT.key, add_sources=[IPv4Network("10.0.0.0/8")])
    kernel.port_del(PORT.key)
    made = kernel.profile_add(Profile(7, Format.GUE))
    kernel.profile_set(7, csum=Csum.ZERO)
    kernel.profile_del(7)
    changed = replace(made, csum=Csum.ZERO)
    return [
        ("port", "add", PORT),
        ("port", "set", more),
        ("port", "del", more),
        ("profile", "add", made),
        ("profile", "set", changed),
        ("profile", "del", changed),
    ]


def test_an_event_for_each_change(kernel: Kernel, host: Host) -> None:
    before = datetime.now(UTC)
    stream = kernel.events()
    # somebody else makes the changes
    with Kernel(host.name) as other:
        expected = everything(other)
    events = take(stream, len(expected))
    assert [(e.kind, e.action, e.record) for e in events if isinstance(e, Event)] == expected
    times = [event.time for event in events]
    assert before <= times[0]
    assert times == sorted(times)
    assert times[-1] <= datetime.now(UTC)


def test_what_is_refused_is_no_event(kernel: Kernel) -> None:
    kernel.port_add(PORT)
    stream = kernel.events()
    with pytest.raises(ConflictError):
        kernel.port_add(PORT)
    with pytest.raises(NotFoundError):
        kernel.port_del(PortKey(4, 1))
    with pytest.raises(GutctlError):
        kernel.profile_add(Profile(0, Format.GUE, source_ports=(2, 1)))
    kernel.port_del(PORT.key)
    (event,) = take(stream, 1)
    assert isinstance(event, Event)
    assert event.action == "del"


def test_another_namespace_is_not_heard(kernel: Kernel, net: Net) -> None:
    stream = kernel.events()
    with Kernel(net.host("blue").name) as other:
        everything(other)
    kernel.port_add(PORT)
    (event,) = take(stream, 1)
    assert isinstance(event, Event)
    assert (event.action, event.record) == ("add", PORT)


def test_two_streams_hear_the_same(kernel: Kernel) -> None:
    first, second = kernel.events(), kernel.events()
    expected = everything(kernel)
    for stream in (first, second):
        events = take(stream, len(expected))
        assert [(e.kind, e.action, e.record) for e in events if isinstance(e, Event)] == expected


def test_ready_is_called_when_nothing_can_be_missed(kernel: Kernel, host: Host) -> None:
    called: list[bool] = []

    def ready() -> None:
        with Kernel(host.name) as other:
            other.port_add(PORT)
        called.append(True)

    stream = kernel.events(ready=ready)
    assert called == [True]
    (event,) = take(stream, 1)
    assert isinstance(event, Event)
    assert event.record == PORT


def ends(stream: EventStream, end: Callable[[], None]) -> list[Event | Lost]:
    """Read a stream in this thread while another one ends it."""
    timer = threading.Timer(0.5, end)
    timer.start()
    started = time.monotonic()
    found = list(stream)
    assert time.monotonic() - started < SECONDS
    timer.join()
    return found


def test_closing_the_stream_ends_it(kernel: Kernel) -> None:
    stream = kernel.events()
    assert ends(stream, stream.close) == []
    assert list(stream) == []
    assert kernel.info().version


def test_closing_the_door_ends_its_streams(host: Host) -> None:
    kernel = Kernel(host.name)
    stream = kernel.events()
    assert ends(stream, kernel.close) == []


def test_lost_events_are_told(kernel: Kernel) -> None:
    stream = kernel.events()
    # a socket whose buffer is as small as the kernel allows
    stream._sock.setsockopt(1, 8, 1)
    for n in range(100):
        kernel.port_add(Port(PortKey(4, 20000 + n), any_source=True))
    assert isinstance(take(stream, 1)[0], Lost)
    # what had found room is still there; the kernel sends again once all of it has been read
    kept: list[Event | Lost] = []
    while stream._ready or select.select([stream._sock], [], [], 0)[0]:
        kept += take(stream, 1)
    assert 0 < len(kept) < 100
    kernel.profile_add(Profile(9, Format.GUE))
    (event,) = take(stream, 1)
    assert isinstance(event, Event)
    assert event.kind == "profile"


def test_every_call_inside_a_running_loop(host: Host, net: Net) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    async def main() -> None:
        pulse = asyncio.create_task(beat())
        async with AsyncKernel(host.name) as kernel:
            assert (await kernel.info()).version
            await kernel.port_add(PORT)
            await kernel.port_set(PORT.key, zero_csum6=True)
            assert await kernel.port(PORT.key) == replace(PORT, zero_csum6=True)
            assert len(await kernel.ports()) == 1
            made = await kernel.profile_add(Profile(0, Format.GUE))
            await kernel.profile_set(made.number, csum=Csum.ZERO)
            assert await kernel.profile(made.number) == replace(made, csum=Csum.ZERO)
            assert len(await kernel.profiles()) == 1
            west = Link("west", "sit", None, ip_address("192.0.2.1"), 4, 1, 0, 6080, ttl=64)
            await kernel.link_add(west)
            await kernel.link_set("west", up=True, mtu=1400)
            await kernel.address_add("west", "192.0.2.9/24")
            link = await kernel.link("west")
            assert link is not None
            assert (link.mtu, link.addresses) == (1400, ("192.0.2.9/24",))
            assert [x.name for x in await kernel.links()] == ["west"]
            await kernel.link_change(replace(west, ttl=3))
            assert await kernel.device_name(await kernel.device("west")) == "west"
            assert ip_address("192.0.2.9") in await kernel.local_addresses()
            assert (await kernel.route_mtu(ip_address("192.0.2.9")))[2] == ip_address("192.0.2.9")
            assert await kernel.sysctl("net/ipv4/ip_forward") == "0"
            assert await kernel.udp_port_owner(4, 1) is None
            assert await kernel.netns_of(999) is None
            assert await kernel.in_netns(threading.active_count) > 1
            await kernel.address_del("west", "192.0.2.9/24")
            await kernel.link_del("west")
            await kernel.profile_del(made.number)
            await kernel.port_del(PORT.key)
            with pytest.raises(NotFoundError):
                await kernel.port_del(PORT.key)
        with pytest.raises(GutctlError, match="closed"):
            await kernel.info()
        pulse.cancel()

    asyncio.run(main())
    # the loop went on while the kernel was asked, some thirty times; had the calls blocked it, it had beaten once
    assert beats > 10


def test_the_synchronous_side_works_in_a_loop_too(host: Host) -> None:
    async def main() -> int:
        with Kernel(host.name) as kernel:
            kernel.port_add(PORT)
            return len(kernel.ports())

    assert asyncio.run(main()) == 1


def test_events_in_a_loop(host: Host) -> None:
    async def main() -> list[Event | Lost]:
        found: list[Event | Lost] = []
        async with AsyncKernel(host.name) as kernel:
            listening = asyncio.Event()

            async def listen() -> None:
                async for event in kernel.events(ready=listening.set):
                    found.append(event)
                    if len(found) == 3:
                        break

            listener = asyncio.create_task(listen())
            await asyncio.wait_for(listening.wait(), SECONDS)
            await kernel.port_add(PORT)
            await kernel.port_set(PORT.key, any_source=True)
            await kernel.port_del(PORT.key)
            await asyncio.wait_for(listener, SECONDS)
        return found

    found = asyncio.run(main())
    assert [event.action for event in found if isinstance(event, Event)] == ["add", "set", "del"]


def test_closing_ends_the_events_of_a_loop(host: Host) -> None:
    async def main() -> list[Event | Lost]:
        kernel = AsyncKernel(host.name)
        listening = asyncio.Event()

        async def listen() -> list[Event | Lost]:
            return [event async for event in kernel.events(ready=listening.set)]

        listener = asyncio.create_task(listen())
        await asyncio.wait_for(listening.wait(), SECONDS)
        await kernel.close()
        return await asyncio.wait_for(listener, SECONDS)

    assert asyncio.run(main()) == []


def test_a_cancelled_listener_leaves_nothing_behind(host: Host) -> None:
    async def main() -> None:
        async with AsyncKernel(host.name) as kernel:
            listening = asyncio.Event()

            async def listen() -> None:
                async for _ in kernel.events(ready=listening.set):
                    pass

            listener = asyncio.create_task(listen())
            await asyncio.wait_for(listening.wait(), SECONDS)
            listener.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listener
            assert (await kernel.info()).version

    asyncio.run(main())


def test_a_namespace_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(NotFoundError):
        AsyncKernel("no-such")
