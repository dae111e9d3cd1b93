# SPDX-License-Identifier: Apache-2.0
"""The kernel's log, read from /dev/kmsg: what is new since the last look, and which lines of it are bad."""

from __future__ import annotations

import os
import re

#: What a kernel that is well never says.
BAD = re.compile(
    r"BUG:|WARNING:|KASAN|KCSAN|UBSAN|Call Trace:|unreferenced object|ref_tracker:|refcount_t"
    r"|unregister_netdevice: waiting|Oops|general protection|rcu.*stall|suspicious RCU|possible recursive locking"
    r"|scheduling while atomic|Slab corruption|Redzone|Poison overwritten|RTNL: assertion failed"
    r"|list_(add|del) (corruption|double add)|leaked reference|ODEBUG|INFO: (task|trying to register|rcu)|Kernel panic"
    r"|inconsistent lock state|possible circular locking|lock held|held lock freed|bad unlock balance|turning off the locking"
)


class KernelLog:
    """A place in the kernel's log that moves on with each look."""

    def __init__(self) -> None:
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._file, 0, os.SEEK_END)

    def new(self) -> list[str]:
        """The messages since the last look. A gap, where more came than the buffer holds, shows as a bad line."""
        lines: list[str] = []
        while True:
            try:
                record = os.read(self._file, 16384)
            except BlockingIOError:
                return lines
            except BrokenPipeError:
                lines.append("BUG: the log overflowed between two looks")
                continue
            # "level,sequence,time,flags;text", then lines with details that begin with a space
            lines.append(record.decode(errors="replace").partition(";")[2].split("\n", 1)[0])

    def close(self) -> None:
        os.close(self._file)


#: Around a stretch in which allocations are made to fail.
FAULTS, FAULTS_OVER = "faults: from here", "faults: to here"
_TRACE = "Call Trace:"


def bad(lines: list[str]) -> list[str]:
    """Those of the messages that tell of trouble; a trace alone is none where memory was made to run out."""
    found = []
    meant = False
    for line in lines:
        if FAULTS in line or FAULTS_OVER in line:
            meant = FAULTS in line
        elif BAD.search(line) and not (meant and not BAD.search(line.replace(_TRACE, ""))):
            found.append(line)
    return found


def write(text: str) -> None:
    """Put a line into the kernel's log, for instance where a test begins."""
    with open("/dev/kmsg", "w", encoding="utf-8") as log:
        log.write(text + "\n")
