# SPDX-License-Identifier: Apache-2.0
"""The working tree as a tar file: what a guest tests is a snapshot, so editing meanwhile disturbs nothing."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Built things that git ignores and a guest needs.
BUILT = ("kmod/gutless.ko",)
_SKIP = {".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".venv"}


def files(root: Path = ROOT) -> list[str]:
    """Paths, relative to `root`, of all that is tracked or could be; every file where there is no git."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"],
            stdout=subprocess.PIPE,
            check=True,
        )
        names = sorted(set(os.fsdecode(listed.stdout).split("\0")) - {""})
    else:
        names = []
        for folder, folders, found in os.walk(root):
            folders[:] = [name for name in folders if name not in _SKIP]
            names += [os.path.relpath(os.path.join(folder, name), root) for name in found]
        names = [name for name in names if not name.endswith((".o", ".ko", ".cmd"))]
    names += [name for name in BUILT if name not in names]
    return [name for name in names if (root / name).is_file() or (root / name).is_symlink()]


def pack(target: Path, root: Path = ROOT, extra: dict[str, Path] | None = None) -> None:
    """Write the tree to the tar file `target`; `extra` maps names in it to files or folders that take their place there."""
    extra = extra or {}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in files(root):
            if name in extra:
                continue
            try:
                archive.add(root / name, name, recursive=False)
            except FileNotFoundError:
                continue  # removed by somebody since it was listed
        for name, source in extra.items():
            archive.add(source, name)
