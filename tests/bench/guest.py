# SPDX-License-Identifier: Apache-2.0
"""The machine that counts: an emulated processor whose clock advances by one with every instruction."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent


class BenchError(Exception):
    """The guest gave no numbers, or could not be prepared. The text says why."""


@dataclass(frozen=True)
class Parts:
    """Where the pieces are, as tests/bench/setup prints them."""

    kernel: Path
    release: str
    base: Path
    program: Path
    module: Path
    bareudp: Path | None = None
    """Where there is something to measure with it."""


def prepare(patches: list[Path], *, bareudp: bool = False) -> Parts:
    """Build what is missing, the module with ``patches``. Raises BenchError when that fails."""
    command = [str(BENCH / "setup"), *(["--bareudp"] if bareudp else []), *(str(patch.resolve()) for patch in patches)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BenchError("what the guest needs could not be prepared (see above)")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return Parts(
        Path(found["kernel"]), found["release"], Path(found["base"]), Path(found["program"]), Path(found["module"]),
        Path(found["bareudp"]) if bareudp else None,
    )  # fmt: skip


def emulator() -> str:
    """QEMU's version: the counts are the kernel's, yet what a processor can do is QEMU's word."""
    said = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return said.splitlines()[0].removeprefix("QEMU emulator version ")


def _archive(target: Path, parts: Parts, script: str, more: dict[str, Path]) -> None:
    """The first file system: the base, and behind it what differs from run to run."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "script").write_text(script)
        here = {"bin/bench": parts.program / "bench", "gutless.ko": parts.module / "gutless.ko", **more}
        if parts.bareudp:
            here["bareudp.ko"] = parts.bareudp / "bareudp.ko"
        for name, source in here.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
        names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        for name in names:
            # a time of its own would be another image in every run
            os.utime(root / name, (0, 0))
        with target.open("wb") as archive:
            archive.write((parts.base / "base.cpio").read_bytes())
            archive.flush()
            subprocess.run(
                ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet", "--reproducible"],
                cwd=root, input="\n".join(names).encode(), stdout=archive, check=True,
            )  # fmt: skip


def command(parts: Parts, archive: Path, output: Path, console: Path, memory: str) -> list[str]:
    """QEMU's command line. Nothing in it may depend on the host's time: no disks, no shared folders."""
    line = "console=ttyS1 panic=-1 quiet nokaslr uhash_entries=65536"
    return [
        "qemu-system-x86_64",
        *("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"),
        # without erms and fsrm: a string instruction would count each octet
        *("-cpu", "max,-erms,-fsrm", "-smp", "1", "-m", memory, "-machine", "q35"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-seed", "42", "-rtc", "base=2026-01-01T00:00:00,clock=vm"),
        *("-serial", f"file:{output}", "-serial", f"file:{console}"),
        *("-kernel", str(parts.kernel / "vmlinux"), "-initrd", str(archive), "-append", line),
    ]


def run(
    parts: Parts,
    script: str,
    seconds: float,
    said: Callable[[str], None],
    extra: list[str] | None = None,
    *,
    more: dict[str, Path] | None = None,
    memory: str = "512M",
) -> None:
    """Boot, run the shell ``script``, hand each line it prints to ``said`` as it comes.

    ``extra`` goes to QEMU, ``more`` are files by their names in the guest.

    Raises BenchError where the guest does not come to the script's end within ``seconds``.
    """
    with tempfile.TemporaryDirectory(prefix="gutctl-bench-") as folder:
        scratch = Path(folder)
        archive, output, console = scratch / "initramfs", scratch / "output", scratch / "console"
        _archive(archive, parts, script, more or {})
        output.touch()
        line = ["nice", "-n", "3", *command(parts, archive, output, console, memory), *(extra or [])]
        if os.environ.get("BENCH_VERBOSE"):
            print(shlex.join(line), flush=True)
        deadline = time.monotonic() + seconds
        qemu = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            ended = _follow(qemu, output, deadline, said)
        finally:
            if qemu.poll() is None:
                qemu.send_signal(signal.SIGKILL)
            _, complaint = qemu.communicate()
        if not ended:
            tail = console.read_text(errors="replace").splitlines()[-30:] if console.exists() else []
            why = f"no end within {seconds:.0f} s" if time.monotonic() > deadline else "the guest ended early"
            raise BenchError("\n".join([why, complaint.decode(errors="replace"), *("  | " + text for text in tail)]))


def _follow(qemu: subprocess.Popen[bytes], output: Path, deadline: float, said: Callable[[str], None]) -> bool:
    """Whether the script came to its end, and the machine after it."""
    ended, rest = False, ""
    with output.open(encoding="utf-8", errors="replace") as lines:
        while True:
            alive = qemu.poll() is None
            *whole, rest = (rest + lines.read()).split("\n")
            for text in whole:
                ended = ended or text.startswith("end ")
                said(text.rstrip("\r"))
            if not alive or time.monotonic() > deadline:
                return ended
            time.sleep(0.05)
