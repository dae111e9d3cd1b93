# SPDX-License-Identifier: Apache-2.0
"""Lines of the module as a program of user space, with the sanitizers that end it at the first octet read beyond."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def compiled(source: str, folder: Path) -> Path:
    """A C file of this directory, compiled into a folder. Returns the program."""
    compiler = shutil.which("gcc")
    assert compiler, "gcc is needed: apt-get install gcc libc6-dev"
    program = folder / Path(source).stem
    command = [compiler, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [f"-I{ROOT / 'kmod'}", f"-I{ROOT / 'kmod/include/uapi'}"]
    subprocess.run([*command, "-o", str(program), str(Path(__file__).with_name(source))], check=True)
    return program
