# SPDX-License-Identifier: Apache-2.0
"""The module's build: what it refuses before compiling, and one version for module and tool."""

from __future__ import annotations

import configparser
import re
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
