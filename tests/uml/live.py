# SPDX-License-Identifier: Apache-2.0
"""What the module holds at this moment, exactly: objects by the function of it that asked for them.

The kernel is booted with `slub_debug=U`, so that it keeps for every object of a cache how it was asked for
(/sys/kernel/debug/slab/CACHE/alloc_traces), and with CONFIG_PERCPU_STATS (/sys/kernel/debug/percpu_stats).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TRACES = Path("/sys/kernel/debug/slab")
SLABS = Path("/sys/kernel/slab")
PERCPU = Path("/sys/kernel/debug/percpu_stats")
_CACHES = re.compile(r"kmalloc-(cg-)?\d+k?|radix_tree_node|UDP(v6)?|sock_inode_cache|skbuff_.*")
"""Those from which the module, or the kernel on its behalf, takes objects."""
_BOOKS = re.compile(r"memcg_alloc_slab_cgroups|alloc_slab_obj_exts")
"""Whom the objects of a slab are charged to: written when a slab is taken, whoever needs its first object, and kept as long as it."""
_OF_A_NAMESPACE = "gl_limit_alloc"
"""Who asks for what each namespace has one of."""
_OURS = re.compile(r"(\w+)\+0x[0-9a-f]+/0x[0-9a-f]+ \[gutless\]")


def _traces(cache: Path) -> Iterator[tuple[int, str]]:
    """How many objects of a cache were asked for in which way."""
    for entry in re.split(r"\n(?=\s*\d+ \S)", (cache / "alloc_traces").read_text()):
        count = entry.split(None, 1)
        if count and count[0].isdigit():
            yield int(count[0]), entry


def objects() -> Counter[str]:
    """Objects that are alive, by the innermost function of the module on the way to them; and `percpu areas`, of all the kernel."""
    found: Counter[str] = Counter()
    folders = [folder for folder in TRACES.iterdir() if _CACHES.fullmatch(folder.name) and (folder / "alloc_traces").exists()]
    assert len(folders) > 10, "the kernel was not booted with slub_debug=U"
    for folder in folders:
        shrink = SLABS / folder.name / "shrink"
        # what KASAN keeps of freed objects is freed in earnest
        shrink.write_text("1")
        for count, entry in _traces(folder):
            ours = _OURS.search(entry)
            if ours and not _BOOKS.search(entry):
                found[f"{ours[1]} ({folder.name})"] += count
    areas = re.search(r"nr_cur_alloc\s*:\s*(\d+)", PERCPU.read_text())
    assert areas
    found["percpu areas"] = int(areas[1])
    return found


def settled(seconds: float = 60.0) -> Counter[str]:
    """The objects, when for two seconds nothing has come or gone: what came before may still be in its clearing up.

    Raises AssertionError where there is no such time.
    """
    deadline = time.monotonic() + seconds
    before, since = objects(), time.monotonic()
    while time.monotonic() < since + 2:
        assert time.monotonic() < deadline, f"something comes and goes for {seconds:g} s"
        time.sleep(0.2)
        now = objects()
        if now != before:
            before, since = now, time.monotonic()
    return before


def wait_for(before: Counter[str], seconds: float = 20.0, *, nodes: bool = True, older: bool = False) -> bool:
    """Wait until exactly that is alive again: freeing takes grace periods and workers. Raises AssertionError.

    Without `nodes`, those of xarrays apart: a port that is made again has a higher number, for which there may have to be more.
    With `older`, namespaces that were there before may have gone since, with what was in them: a connection that nobody closed, for one,
    keeps the namespace of an earlier test until it gives up. Return: whether it was exactly that.
    """
    deadline = time.monotonic() + seconds
    while (now := objects()) != before:
        more, fewer = now - before, before - now
        if not nodes and all("radix_tree_node" in name for name in more | fewer):
            return True
        late = time.monotonic() > deadline
        if late and older and not more and any(name.startswith(_OF_A_NAMESPACE) for name in fewer):
            return False
        assert not late, f"after {seconds:g} s too many: {dict(more)}, too few: {dict(fewer)}"
        time.sleep(0.2)
    return True
