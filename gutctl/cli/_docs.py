# SPDX-License-Identifier: Apache-2.0
"""The reference of the command line, made from the commands themselves.

``python -m gutctl.cli._docs > docs/cli.md``, or with ``man`` a manual page. A test
holds docs/cli.md current. Nothing of click's own formatting is in it, so that it is
the same whatever its version.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from gutctl import __version__
from gutctl.cli import main
from gutctl.cli.exits import EXITS, INTERRUPTED

__all__ = ["Page", "Parameter", "manual", "markdown", "pages"]

GLOBAL = {"-n", "--netns", "--json", "-v", "--verbose", "--module", "--check", "--diff", "-h", "--help"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or argument as it is written, and what it says."""

    words: str
    help: str


@dataclass(frozen=True, slots=True)
class Page:
    """One command."""

    path: str
    usage: str
    text: str
    options: tuple[Parameter, ...]


def pages(command: click.Command = main, path: str = "gutctl") -> Iterator[Page]:
    """Every command, each after the group it is in."""
    yield _page(command, path)
    if isinstance(command, click.Group):
        with click.Context(command, info_name=path) as context:
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child is not None:
                    yield from pages(child, f"{path} {name}")


def _page(command: click.Command, path: str) -> Page:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    own = [p for p in options if path == "gutctl" or not GLOBAL & set(p.opts)]
    words = [path, *(["[OPTIONS]"] if own else []), *map(_argument, arguments)]
    if isinstance(command, click.Group):
        words.append("COMMAND")
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return Page(path, " ".join(words), text, tuple(Parameter(_option(p), _say(p)) for p in own))


def _argument(parameter: click.Argument) -> str:
    word = parameter.metavar or (parameter.name or "").upper()
    word = word.strip("[]")
    return word if parameter.required else f"[{word}]"


def _option(option: click.Option) -> str:
    words = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return words
    kind = option.type
    if option.metavar:
        return f"{words} {option.metavar}"
    if isinstance(kind, click.Choice):
        return f"{words} {'|'.join(str(choice) for choice in kind.choices)}"
    name = "N" if isinstance(kind, click.types.IntParamType | click.IntRange) else kind.name
    return f"{words} {name}"


def _say(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    return f"Required. {text}" if option.required else text


def markdown() -> str:
    """docs/cli.md."""
    lines = ["<!-- made by python -m gutctl.cli._docs: do not edit -->", "# gutctl, the reference", ""]
    for page in pages():
        depth = "#" * min(len(page.path.split()) + 1, 3)
        lines += [f"{depth} {page.path}", "", "```", page.usage, "```", "", page.text, ""]
        if page.options:
            lines += ["| option | |", "|---|---|"]
            lines += [f"| `{_cell(o.words)}` | {_cell(o.help)} |" for o in page.options]
            lines.append("")
    lines += ["## Exit status", "", "| | |", "|---|---|"]
    lines += [f"| {int(status)} | {text} |" for status, text in EXITS.items()]
    lines += [f"| {INTERRUPTED} | interrupted; what was done has been taken back |", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _roff(text: str) -> str:
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in lines)


def manual() -> str:
    """gutctl(1), in roff."""
    root, *rest = pages()
    lines = [f'.TH GUTCTL 1 "" "gutctl {__version__}"', ".SH NAME"]
    lines += ["gutctl \\- tunnels over UDP in the Linux kernel", ".SH SYNOPSIS"]
    lines += [_roff(root.usage), ".SH DESCRIPTION", _roff(root.text), ".SH OPTIONS"]
    lines += _items(root)
    lines.append(".SH COMMANDS")
    for page in rest:
        lines += [f".SS {_roff(page.usage)}", _roff(page.text), *_items(page)]
    lines.append(".SH EXIT STATUS")
    for status, text in EXITS.items():
        lines += [".TP", str(int(status)), _roff(text)]
    lines += [".TP", str(INTERRUPTED), "interrupted"]
    return "\n".join(lines) + "\n"


def _items(page: Page) -> list[str]:
    lines = []
    for option in page.options:
        lines += [".TP", f".B {_roff(option.words)}", _roff(option.help)]
    return lines


if __name__ == "__main__":
    make: Callable[[], str] = manual if sys.argv[1:] == ["man"] else markdown
    sys.stdout.write(make())
