# SPDX-License-Identifier: Apache-2.0
"""What the kernel has allocated: to be compared before and after something that must leave nothing behind."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

SLABS = Path("/sys/kernel/slab")
DEBUG = Path("/sys/kernel/debug/slab")
_CACHES = re.compile(r"kmalloc(-cg|-rcl)?-[0-9]+k?|UDP|UDPv6|sock_inode_cache|radix_tree_node|skbuff_head_cache|net_namespace")


@dataclass(frozen=True)
class Held:
    """Objects by cache, and kilobytes of memory that each processor has its own of."""

    objects: dict[str, int]
    percpu: int

    def more_than(self, before: Held, objects: int, kilobytes: int) -> dict[str, int]:
        """What has grown by more than that."""
        grown = {name: count - before.objects.get(name, 0) for name, count in self.objects.items()}
        found = {name: count for name, count in grown.items() if count > objects}
        if self.percpu - before.percpu > kilobytes:
            found["Percpu, KiB"] = self.percpu - before.percpu
        return found


def _of_trackers(cache: Path) -> int:
    """Notes that reference trackers keep of references given back, the last 128 of each namespace and device. A kernel that
    has such trackers is booted with `slub_debug=U` (tests/uml), else they count as held."""
    traces = DEBUG / cache.name / "alloc_traces"
    if not traces.exists():
        return 0
    return sum(map(int, re.findall(r"^\s*(\d+) ref_tracker_alloc\b", traces.read_text(), re.MULTILINE)))


def held() -> Held:
    """What is held now, with what the allocator keeps for each processor given back first."""
    names = [line.split()[0] for line in Path("/proc/slabinfo").read_text().splitlines()[2:]]
    caches = [name for name in names if _CACHES.fullmatch(name)]
    assert len(caches) > 10, "the kernel shows no caches: nothing could be seen to leak"
    for name in caches:
        shrink = SLABS / name / "shrink"
        if shrink.exists():
            shrink.write_text("1")
    objects = {}
    for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
        name, active = line.split()[:2]
        if name in caches:
            objects[name] = int(active) - _of_trackers(SLABS / name)
    percpu = re.search(r"Percpu:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert percpu
    return Held(objects, int(percpu[1]))


def wait_for_none(before: Held, objects: int, kilobytes: int, seconds: float = 15.0) -> None:
    """Wait until nothing has grown by more than that since `before`: freeing takes grace periods and workers."""
    deadline = time.monotonic() + seconds
    while grown := held().more_than(before, objects, kilobytes):
        assert time.monotonic() < deadline, f"still held after {seconds:g} s: {grown}"
        time.sleep(0.2)
