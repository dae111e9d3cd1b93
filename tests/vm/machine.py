# SPDX-License-Identifier: Apache-2.0
"""One run of a guest: QEMU's command line, the stream of what the guest prints, its exit status."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

VM = Path(__file__).resolve().parent
PROBE_SECONDS = 10


class GuestError(Exception):
    """The guest gave no result: it did not boot, crashed, or ran out of time. The text says which."""


@dataclass(frozen=True)
class Parts:
    """Where the pieces of a guest are, as tests/vm/setup prints them."""

    cache: Path
    kernel: Path
    release: str
    images: Path
    root: Path
    python: Path
    venv: Path


@dataclass(frozen=True)
class Options:
    """What a caller may choose about the guest."""

    memory: str = "1536M"
    cpus: int = 2
    timeout: float = 1800.0  # seconds
    append: list[str] = field(default_factory=list)
    verbose: bool = False


def prepare(kernel: Path | None = None) -> Parts:
    """Run setup (which builds what is missing) and read where things are. Raises GuestError when it fails."""
    command = [str(VM / "setup")] + ([str(kernel)] if kernel else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise GuestError("the guest could not be prepared (see above)")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return Parts(
        cache=Path(found["cache"]),
        kernel=Path(found["kernel"]),
        release=found["release"],
        images=Path(found["images"]),
        root=Path(found["root"]),
        python=Path(found["python"]),
        venv=Path(found["venv"]),
    )


def base_command(parts: Parts, accel: str, memory: str, cpus: int, append: list[str]) -> list[str]:
    """QEMU's options that every guest has, the kernel's console going to the second serial line."""
    kernel_line = ["console=ttyS1", "panic=-1", "quiet", "random.trust_cpu=on", "tsc=reliable", "no_timer_check", *append]
    return [
        "qemu-system-x86_64",
        *("-accel", accel),
        *("-cpu", "host" if accel == "kvm" else "max"),
        *("-smp", str(cpus), "-m", memory, "-machine", "q35"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(parts.kernel / "vmlinux"), "-initrd", str(parts.images / "initramfs.cpio")),
        *("-append", " ".join(kernel_line)),
    ]


def accelerator(parts: Parts) -> str:
    """`kvm` where a guest really boots with it, else emulation. Found by trying once and remembered until reboot."""
    emulated = "tcg,thread=multi"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return emulated
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    remembered = parts.cache / f"accel-{boot}"
    if remembered.exists():
        return remembered.read_text().strip()
    print(f"boot: trying whether KVM works here (at most {PROBE_SECONDS} s)", file=sys.stderr, flush=True)
    command = base_command(parts, "kvm", "512M", 1, ["gutctl.probe"])
    command += ["-serial", "stdio", "-serial", "null"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
        )
        works = b"alive" in done.stdout
    except subprocess.TimeoutExpired:
        works = False
    answer = "kvm" if works else emulated
    print(f"boot: {'KVM works' if works else 'KVM does not work here: emulating'}", file=sys.stderr, flush=True)
    scratch = remembered.with_name(f"{remembered.name}.{os.getpid()}")
    scratch.write_text(answer)
    scratch.rename(remembered)
    return answer


def _disk(path: Path) -> list[str]:
    return ["-drive", f"file={path},format=raw,if=virtio,readonly=on,file.locking=off"]


def _copy(stream: IO[bytes]) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def run(parts: Parts, tree: Path, results: Path, script: str, options: Options) -> int:
    """Boot, run the shell `script` in the tree's root, and return its exit status.

    `tree` is a tar file; `results` a folder that the guest sees as /results.
    Raises GuestError where there is no status within the time-out.
    """
    accel = accelerator(parts)
    (results / "command").write_text(script)
    (results / "status").unlink(missing_ok=True)
    console = results / "console.log"
    console.unlink(missing_ok=True)
    command = base_command(parts, accel, options.memory, options.cpus, options.append)
    for disk in (parts.root, parts.python, parts.images / "modules.sqfs", tree):
        command += _disk(disk)
    command += ["-virtfs", f"local,path={results},mount_tag=results,security_model=none"]
    command += ["-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out", "-serial", f"file:{console}"]
    if options.verbose:
        print("boot: " + shlex.join(command), file=sys.stderr, flush=True)
    print(f"boot: {parts.release}, {options.cpus} processors, {accel.split(',')[0]}", file=sys.stderr, flush=True)
    started = time.monotonic()
    stdin = None if sys.stdin.isatty() else subprocess.DEVNULL
    with tempfile.TemporaryFile() as complaints:
        qemu = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=complaints)
        assert qemu.stdout is not None
        reader = threading.Thread(target=_copy, args=(qemu.stdout,), daemon=True)
        reader.start()
        late = False
        try:
            qemu.wait(options.timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            if qemu.poll() is None:
                qemu.send_signal(signal.SIGKILL)
                qemu.wait()
            reader.join(5)
        complaints.seek(0)
        said = complaints.read().decode(errors="replace")
    seconds = time.monotonic() - started
    status = results / "status"
    if status.exists() and not late:
        print(f"boot: exit status {status.read_text().strip()} after {seconds:.1f} s", file=sys.stderr, flush=True)
        return int(status.read_text())
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    tail = "\n".join(["  | " + line for line in lines[-60:]])
    why = f"out of time ({options.timeout:.0f} s)" if late else f"the guest ended without a result after {seconds:.1f} s"
    raise GuestError(f"{why}\n{said}end of its console:\n{tail}")
