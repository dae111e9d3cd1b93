# SPDX-License-Identifier: Apache-2.0
"""The module's build: what it refuses before compiling, and one version for module and tool."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import gutctl

ROOT = Path(__file__).parents[2]
SYMBOLS = [
    line for line in (ROOT / "kmod/gutless.config").read_text().splitlines() if line and not line.startswith("#")
]


def check_config(kdir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-s", "-C", str(ROOT / "kmod"), "check-config", f"KDIR={kdir}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def tree(folder: Path, symbols: list[str], value: str) -> Path:
    """A kernel's build tree as far as the check looks at it."""
    (folder / "include/config").mkdir(parents=True)
    (folder / "include/config/auto.conf").write_text("".join(f"{symbol}={value}\n" for symbol in symbols))
    return folder


@pytest.mark.parametrize("value", ["y", "m"])
def test_a_kernel_with_everything_passes(tmp_path: Path, value: str) -> None:
    done = check_config(tree(tmp_path, SYMBOLS, value))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", SYMBOLS)
def test_a_missing_symbol_is_named(tmp_path: Path, missing: str) -> None:
    done = check_config(tree(tmp_path, [s for s in SYMBOLS if s != missing], "y"))
    assert done.returncode != 0
    assert f"lacks {missing}\n" in done.stderr


def test_no_build_tree_says_what_to_install(tmp_path: Path) -> None:
    done = check_config(tmp_path)
    assert done.returncode != 0
    assert "install the headers" in done.stderr


def test_one_version() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    header = (ROOT / "kmod/gutless.h").read_text()
    found = re.search(r'^#define GUTLESS_VERSION\s+"(.+)"$', header, re.MULTILINE)
    assert found is not None
    assert found[1] == gutctl.__version__ == setup["metadata"]["version"]


def test_every_source_names_its_license() -> None:
    for path in [*ROOT.glob("kmod/**/*.[ch]"), *ROOT.glob("gutctl/**/*.py"), *ROOT.glob("tests/**/*.py")]:
        if path.name == "compat-gen.h" or path.name.endswith(".mod.c"):
            continue
        first = path.read_text().partition("\n")[0]
        expected = "Apache-2.0"
        if "kmod" in path.relative_to(ROOT).parts:
            expected = "GPL-2.0-only"
            if "uapi" in path.parts:
                expected += " WITH Linux-syscall-note"
        assert re.fullmatch(rf"(//|/\*|#) SPDX-License-Identifier: {re.escape(expected)}( \*/)?", first), path


# A build tree of nobody's kernel: its "compiler" makes an object of each probe but those it is told to refuse.
KBUILD = """
%.o:
\t@case " $(REFUSED) " in *" $(notdir $(basename $@)) "*) exit 1;; esac; touch $(M)/$@
"""


def probed(tmp_path: Path, release: str, refused: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the build says when it has probed a kernel that compiles every probe but the refused ones."""
    copy = tmp_path / "kmod"
    shutil.copytree(ROOT / "kmod", copy, ignore=shutil.ignore_patterns("*.o", "*.ko", ".*", "compat-gen.h", "log"))
    kdir = tree(tmp_path / "kernel", SYMBOLS, "y")
    (kdir / "include/config/kernel.release").write_text(release + "\n")
    (kdir / "Makefile").write_text(f"REFUSED := {refused}\n{KBUILD}")
    command = ["make", "-s", "-C", str(copy), "compat-gen.h", f"KDIR={kdir}"]
    return subprocess.run(command, capture_output=True, text=True, check=False), copy / "compat-gen.h"


def test_older_than_6_1_stops_with_a_sentence(tmp_path: Path) -> None:
    done, made = probed(tmp_path, "5.10.0-30-amd64", "absurd oldest recursion-level")
    assert done.returncode != 0 and not made.exists()
    assert "the kernel 5.10.0-30-amd64 at" in done.stderr
    assert "is too old: gutless needs 6.1 or newer\n" in done.stderr


@pytest.mark.parametrize("release", ["6.1.0-56-amd64", "6.12.95+deb12-amd64", "7.3.99+deb14-amd64"])
def test_a_kernel_that_was_tested_builds_in_silence(tmp_path: Path, release: str) -> None:
    done, made = probed(tmp_path, release, "absurd")
    assert (done.returncode, done.stderr) == (0, "")
    assert "notice" not in done.stdout
    assert "#define GL_HAVE_RECURSION_LEVEL\n" in made.read_text()
    assert "OLDEST" not in made.read_text()


@pytest.mark.parametrize("release", ["7.4.0-rc1-amd64", "7.10.1-amd64", "8.0.0"])
def test_a_newer_kernel_builds_when_the_probes_pass_with_a_notice(tmp_path: Path, release: str) -> None:
    done, made = probed(tmp_path, release, "absurd recursion-level")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"notice: the kernel {release} is newer than those tested (up to 7.3)" in done.stdout
    assert "RECURSION_LEVEL" not in made.read_text()


@pytest.mark.parametrize("refused", ["absurd sane", ""])
def test_useless_probes_stop_the_build(tmp_path: Path, refused: str) -> None:
    """Whatever the release: where nothing compiles, or everything does, nothing can be told."""
    done, made = probed(tmp_path, "7.9.0", refused)
    assert done.returncode != 0 and not made.exists()
    assert "nothing compiles" in done.stderr or "what should not compile does" in done.stderr
