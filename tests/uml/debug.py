# SPDX-License-Identifier: Apache-2.0
"""One run of the debug kernel: user-mode Linux's command line, the stream of what it prints, its exit status."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UML = Path(__file__).resolve().parent
sys.path.insert(0, str(UML.parent / "vm"))

import tree
from machine import GuestError, Options, _copy

__all__ = ["GuestError", "Options", "Parts", "call", "pack", "prepare", "run"]


@dataclass(frozen=True)
class Parts:
    """Where the pieces are."""

    folder: Path
    """What tests/uml/kernel prints."""
    initramfs: Path
    root: Path
    python: Path

    @property
    def release(self) -> str:
        return (self.folder / "release").read_text().strip()


def _printed(*command: str | Path) -> Path:
    """The path that a script prints. Raises GuestError when it fails; it has told why."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise GuestError("the debug kernel could not be prepared (see above)")
    return Path(done.stdout.strip())


def call(command: list[str], **options: Any) -> int:
    """Run a program that ends its guests when it is told to; told so ourselves, tell it and wait. Its exit status."""
    program = subprocess.Popen(command, cwd=tree.ROOT, **options)
    try:
        return program.wait()
    finally:
        program.terminate()
        program.wait()


def prepare(series: str = "6.1") -> Parts:
    """Build what is missing and say where things are. Raises GuestError when that fails."""
    return Parts(
        folder=_printed(UML / "kernel", series),
        initramfs=_printed(UML / "initramfs"),
        root=_printed(tree.ROOT / "tests" / "vm" / "root"),
        python=_printed(tree.ROOT / "tests" / "vm" / "python"),
    )


def pack(parts: Parts, target: Path) -> None:
    """Write the working tree to the tar file `target`, with the modules as built for this kernel."""
    folder = _printed(UML / "module", parts.folder)
    tree.pack(target, extra={f"kmod/{file.name}": file for file in folder.glob("*.ko")})


def command_line(parts: Parts, tar: Path, scratch: Path, memory: str, append: list[str], interactive: bool) -> list[str]:
    """User-mode Linux's arguments. The kernel's log goes to descriptor 2, what the guest prints to descriptor 1."""
    disks = [parts.root, parts.python, parts.folder / "modules.sqfs", tar]
    return [
        str(parts.folder / "linux"),
        f"mem={memory}",
        f"initrd={parts.initramfs}",
        *(f"ubd{number}r={disk}" for number, disk in enumerate(disks)),
        *("con=null", "con0=null,fd:2", "ssl=null", f"ssl0={'fd:0' if interactive else 'null'},fd:1"),
        *("console=tty0", "loglevel=8", "panic=0", "kasan_multi_shot", f"uml_dir={scratch}/", "umid=guest"),
        f"gutctl.results={scratch / 'results'}",
        *append,
    ]


def run(parts: Parts, tar: Path, scratch: Path, results: Path, script: str, options: Options) -> int:
    """Boot, run the shell `script` in the tree's root, and return its exit status.

    `tar` is what `pack` wrote; `scratch` a folder of this run alone, in memory at best; `results` a folder that the
    guest sees as /results, in which the kernel's log is left as console.log.
    Raises GuestError where there is no status within the time-out.
    """
    (results / "command").write_text(script)
    (results / "status").unlink(missing_ok=True)
    # by a name that has no spaces in it
    (scratch / "results").symlink_to(results)
    console = results / "console.log"
    command = command_line(parts, tar, scratch, options.memory, options.append, sys.stdin.isatty())
    if options.verbose:
        print("boot: " + shlex.join(command), file=sys.stderr, flush=True)
    print(f"boot: {parts.release}, user-mode", file=sys.stderr, flush=True)
    # a kernel that panics aborts, and its memory would be written out
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    started = time.monotonic()
    late = False
    with console.open("wb") as log:
        # a group of its own, since a kernel that panics ends its group
        uml = subprocess.Popen(
            command,
            stdin=None if sys.stdin.isatty() else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": str(scratch)},
            process_group=0,
        )
        assert uml.stdout is not None
        reader = threading.Thread(target=_copy, args=(uml.stdout,), daemon=True)
        reader.start()
        try:
            uml.wait(options.timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            # its processes are many; all are in the group
            with contextlib.suppress(ProcessLookupError):
                os.killpg(uml.pid, signal.SIGKILL)
            uml.wait()
            reader.join(5)
    seconds = time.monotonic() - started
    status = results / "status"
    if status.exists() and not late:
        print(f"boot: exit status {status.read_text().strip()} after {seconds:.1f} s", file=sys.stderr, flush=True)
        return int(status.read_text())
    lines = console.read_text(errors="replace").splitlines()
    tail = "\n".join(["  | " + line for line in lines[-60:]])
    why = f"out of time ({options.timeout:.0f} s)" if late else f"the guest ended without a result after {seconds:.1f} s"
    raise GuestError(f"{why}\nend of its console:\n{tail}")
