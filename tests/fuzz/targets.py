# SPDX-License-Identifier: Apache-2.0
"""The targets of libFuzzer: compiled, run, read through a pipe, and their corpora kept from run to run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import agree
import inputs
import seeds

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ("kmod", "kmod/include/uapi", "tests/pure")
WARN = ("-g", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare")
SANITIZE = "-fsanitize=fuzzer,address,undefined"
MAX_LEN = 400
SEEDS = {"wire": seeds.wire_seeds, "csum": seeds.csum_seeds}
UAPI = ROOT / "kmod/include/uapi/linux/gutless.h"
#: Of a target that hangs on one input, seconds.
INPUT_SECONDS = 10


class Finding(Exception):
    """A fuzzer found something: the target, the input (None: unknown), and what was said."""

    def __init__(self, kind: str, data: bytes | None, said: str) -> None:
        super().__init__(f"{kind}: {said.strip().splitlines()[0] if said.strip() else 'no word'}")
        self.kind = kind
        self.data = data
        self.said = said


class Trouble(Exception):
    """The fuzzers could not run; the text says why."""


def reasons() -> dict[int, str]:
    """Attribute that counts a packet -> the reason of a drop or the kind of control message, from the uapi header."""
    body = re.search(r"enum gutless_rx_attr \{(.*?)\};", UAPI.read_text(), re.DOTALL)
    if not body:
        raise Trouble(f"{UAPI} has no enum gutless_rx_attr")
    names = re.findall(r"^\s*(GUTLESS_A_RX_\w+),", body[1], re.MULTILINE)
    short = {at: name.removeprefix("GUTLESS_A_RX_") for at, name in enumerate(names)}
    control = ("ECHO_REQUESTS", "ECHO_REPLIES", "REPORTS")
    return {
        at: name.removeprefix("DROP_").lower().replace("_", "-")
        for at, name in short.items()
        if name.startswith("DROP_") or name in control
    }


def build(kind: str, folder: Path, *flags: str, root: Path = ROOT) -> Path:
    """Compile a target into a folder. Raises Trouble with the compiler's words."""
    program = folder / kind
    command = ["clang", *WARN, *(flags or (SANITIZE, "-fno-sanitize-recover=all"))]
    command += [f"-I{root / name}" for name in INCLUDE]
    done = subprocess.run(
        [*command, "-o", str(program), str(root / "tests/fuzz" / f"{kind}.c")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Trouble(f"{kind}.c does not compile:\n{done.stderr}")
    return program


def build_replayer(kind: str, folder: Path, root: Path = ROOT) -> Path:
    """Compile a target that takes inputs from its standard input (driver.c), by gcc. Raises Trouble."""
    program = folder / f"replay-{kind}"
    sources = [str(root / "tests/fuzz" / name) for name in (f"{kind}.c", "driver.c")]
    command = ["gcc", *WARN, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [*(f"-I{root / name}" for name in INCLUDE), "-o", str(program), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"{kind}.c does not compile:\n{done.stderr}")
    return program


def replay_all(program: Path, data: list[bytes]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Run a replayer on inputs. Returns its complaint, and of wire.c the inputs with their answers."""
    packed = b"".join(len(one).to_bytes(2, "big") + one for one in data)
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            [str(program)],
            input=packed,
            env=dict(os.environ, GUTLESS_FUZZ_PIPE=str(out.fileno())),
            pass_fds=(out.fileno(),),
            capture_output=True,
            check=False,
            timeout=120,
        )
        out.seek(0)
        return (done.stderr.decode(errors="replace") if done.returncode else ""), list(_records(out))


@dataclass
class Corpus:
    """Inputs in a folder of this run: generated seeds, regressions, and what former runs found (in the cache)."""

    kind: str
    folder: Path
    kept: Path

    @classmethod
    def prepare(cls, kind: str, scratch: Path, cache: Path | None) -> Corpus:
        folder = scratch / f"corpus-{kind}"
        folder.mkdir()
        made = cls(kind, folder, (cache or scratch) / f"fuzz-corpus-{kind}")
        for data in [*SEEDS[kind](), *(inputs.read(path) for path in inputs.kept(kind))]:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
        if cache and made.kept.is_dir():
            with made._locked():
                for path in made.kept.iterdir():
                    shutil.copy(path, folder / path.name)
        return made

    def _locked(self) -> BinaryIO:
        lock = open(f"{self.kept}.lock", "wb")  # noqa: SIM115 - the caller's with
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def keep(self, program: Path) -> int:
        """Put what is worth keeping, no more, in the place of what the cache has. Returns the number of inputs."""
        fresh = self.folder.with_name(f"merged-{self.kind}")
        fresh.mkdir()
        command = [str(program), "-merge=1", f"-max_len={MAX_LEN}", str(fresh), str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=fresh.parent, check=False, timeout=300)
        if done.returncode:
            raise Finding(self.kind, None, done.stderr)
        count = len(list(fresh.iterdir()))
        with self._locked():
            staged = self.kept.with_name(f"{self.kept.name}.{os.getpid()}")
            shutil.copytree(fresh, staged)
            if self.kept.exists():
                old = staged.with_suffix(".old")
                self.kept.rename(old)
                shutil.rmtree(old)
            staged.rename(self.kept)
        return count


@dataclass
class Run:
    """A target that is being fuzzed."""

    kind: str
    corpus: Corpus
    scratch: Path
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        program: Path,
        corpus: Corpus,
        seconds: int,
        seed: int,
        *,
        runs: int = -1,
        name: str = "",
        descriptor: int | None = None,
    ) -> Run:
        """Begin; with a descriptor the target writes every input and its answer there. `runs`: no more than so many."""
        scratch = corpus.folder.with_name(f"run-{name or corpus.kind}")
        scratch.mkdir()
        log = scratch / "log"
        command = ["nice", str(program), f"-max_total_time={seconds}", f"-runs={runs}", f"-seed={seed}", f"-max_len={MAX_LEN}"]
        command += ["-use_value_profile=1", f"-timeout={INPUT_SECONDS}", "-print_final_stats=1", "-reload=0", "-detect_leaks=0"]
        environment = dict(os.environ)
        if descriptor is not None:
            environment["GUTLESS_FUZZ_PIPE"] = str(descriptor)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, f"-artifact_prefix={scratch}/", str(corpus.folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                cwd=scratch,
                pass_fds=() if descriptor is None else (descriptor,),
            )
        return cls(corpus.kind, corpus, scratch, process, log)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def finish(self, seconds: float) -> int:
        """Wait for the end; returns the number of executions. Raises Finding."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Finding(self.kind, None, f"did not end within {seconds:.0f} s") from None
        said = self.log.read_text(errors="replace")
        if self.process.returncode:
            crashes = [path for pattern in ("crash-*", "timeout-*", "oom-*", "leak-*") for path in self.scratch.glob(pattern)]
            raise Finding(self.kind, crashes[0].read_bytes() if crashes else None, _trouble(said))
        ran = re.search(r"stat::number_of_executed_units: (\d+)", said)
        if not ran:
            raise Trouble(f"{self.kind}: libFuzzer gave no count:\n{said[-2000:]}")
        return int(ran[1])


def _trouble(said: str) -> str:
    """The lines of libFuzzer's output from the complaint on."""
    lines = [line for line in said.splitlines() if not re.match(r"#\d+\s+(NEW|REDUCE|pulse|INITED|RELOAD)", line)]
    for at, line in enumerate(lines):
        if re.search(r"ERROR:|runtime error|not so:", line):
            return "\n".join(lines[at : at + 40])
    return "\n".join(lines[-40:])


@dataclass
class Differential:
    """What was compared: how many packets, and how often each verdict came up."""

    compared: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)


def _records(pipe: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    size = agree.ANSWER.size
    while len(head := pipe.read(2)) == 2:
        length = int.from_bytes(head, "big")
        rest = pipe.read(length + size)
        if len(rest) < length + size:
            return
        yield rest[:length], rest[length:]


def differential(program: Path, corpus: Corpus, seconds: int, seed: int, *, runs: int = -1) -> Differential:
    """Fuzz wire.h, slowly, and ask gutctl.encap about every input. Raises Finding."""
    done = Differential()
    names = reasons()
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=1 << 16) as pipe:
        run = Run.start(program, corpus, seconds, seed, runs=runs, name="differential", descriptor=writing)
        os.close(writing)
        deadline = time.monotonic() + seconds + 30
        try:
            for data, octets in _records(pipe):
                said = agree.answer(octets, names)
                try:
                    agree.compare(data, said)
                except Exception as error:
                    raise Finding("wire", data, f"{type(error).__name__}: {error}") from error
                done.compared += 1
                done.verdicts[said.reason] += 1
                if time.monotonic() > deadline:
                    break
            run.finish(30)
        finally:
            run.stop()
    return done


def replay(program: Path, data: bytes, scratch: Path) -> str:
    """Run a target on one input; returns its complaint, empty where it has none."""
    path = scratch / "input"
    path.write_bytes(data)
    done = subprocess.run([str(program), str(path)], capture_output=True, text=True, cwd=scratch, check=False, timeout=60)
    return _trouble(done.stderr) if done.returncode else ""


def compare_one(program: Path, data: bytes) -> str:
    """What gutctl.encap says against the answer of wire.h to one input; empty: they agree."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out:
        path = Path(folder, "input")
        path.write_bytes(data)
        environment = dict(os.environ, GUTLESS_FUZZ_PIPE=str(out.fileno()))
        command = [str(program), str(path)]
        subprocess.run(command, env=environment, pass_fds=(out.fileno(),), capture_output=True, cwd=folder, check=False)
        out.seek(0)
        # libFuzzer runs an empty input first
        found = [said for one, said in _records(out) if one == data]
    if not found:
        return "" if len(data) < 2 else "wire.h gave no answer"
    try:
        agree.compare(data, agree.answer(found[0], reasons()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return ""
