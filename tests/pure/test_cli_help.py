# SPDX-License-Identifier: Apache-2.0
"""Help is complete, fast, and the reference is made from it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gutctl.cli import TABLE, main
from gutctl.cli._docs import manual, markdown, pages
from gutctl.cli.exits import EXITS
from gutctl.errors import ExitStatus

ROOT = Path(__file__).resolve().parents[2]


def modules(code: str) -> set[str]:
    """What is loaded when a new interpreter has run a piece of code."""
    text = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=environment)
    return set(done.stderr.split())


def run(*args: str) -> str:
    return f"from gutctl.cli import main\nmain({list(args)!r}, standalone_mode=False)"


@pytest.mark.parametrize(
    "args", [(), ("--help",), ("--version",), ("tunnel", "add", "--help"), ("decode", "--help"), ("doctor", "--help")]
)
def test_help_does_not_load_netlink(args: tuple[str, ...]) -> None:
    loaded = modules(run(*args))
    assert "pyroute2" not in loaded
    assert not any(name.startswith("gutctl._nl") for name in loaded)


def test_the_list_of_nouns_loads_no_noun() -> None:
    loaded = modules(run("--help"))
    assert not {target.partition(":")[0] for target, _ in TABLE.values()} & loaded


@pytest.mark.parametrize("words", ["gutctl ", "gutctl tunnel ", "gutctl tunnel add --f"])
def test_completion_does_not_load_netlink(words: str) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n"
        "from gutctl.cli import main\n"
        "main(prog_name='gutctl')"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_GUTCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "plain," in done.stdout
    assert "pyroute2" not in done.stderr.split()


def test_the_table_says_what_the_commands_say() -> None:
    with click.Context(main) as context:
        for name, (target, text) in TABLE.items():
            command = main.get_command(context, name)
            assert command is not None, name
            assert command.name == name, target
            assert text.endswith(".")
            module, _, attribute = target.partition(":")
            assert getattr(importlib.import_module(module), attribute) is command


def test_everything_has_help() -> None:
    for page in pages():
        assert page.text, page.path
        for option in page.options:
            assert option.help.endswith((".", "]")), (page.path, option.words)


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs/cli.md").read_text() == markdown(), "python -m gutctl.cli._docs > docs/cli.md"


def test_every_option_is_in_the_manual() -> None:
    text = manual().replace("\\-", "-")
    for page in pages():
        for option in page.options:
            assert option.words in text, (page.path, option.words)


def test_every_exit_status_is_documented() -> None:
    assert list(EXITS) == list(ExitStatus)
    with click.Context(main, info_name="gutctl") as context:
        help_text = " ".join(main.get_help(context).split())
    for status, meaning in EXITS.items():
        assert f"{int(status)} {meaning}" in help_text
