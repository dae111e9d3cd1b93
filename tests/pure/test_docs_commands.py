# SPDX-License-Identifier: Apache-2.0
"""Every gutctl command that the documentation shows is one that there is, with options that it has; every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from gutctl.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, *(ROOT / name for name in ("docs", "kmod", "vagrant", "contrib", "tests")))
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if path.name != "cli.md"  # made from the commands themselves
)
END = re.compile(r"[|;&<>)]|\.\.\.|…")
"""Where a command ends, or the page leaves something out."""


def shown(text: str) -> list[str]:
    """The commands of a page: those in code within a line, and lines of blocks."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += [line[4:] for line in rest.splitlines() if line.startswith("    ")]
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`", rest)]
    return [found[0] for line in lines if (found := re.search(r"(?<![\w./])gutctl [-a-z].*", line))]


def words_of(command: str) -> list[str]:
    """Its words, as far as they are the command's. A page may set what it says of one behind two spaces."""
    told = re.split(r" {2,}|\s#", command)[0].rstrip("'\")")
    return shlex.split(END.split(told)[0].rstrip("'\""))[1:]


def check(command: click.Command, words: list[str], context: click.Context) -> None:
    """Raise click.UsageError for a subcommand or an option that there is not. Values are not looked at."""
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group) and rest:
        name, found, left = command.resolve_command(context, rest)
        assert found is not None
        check(found, left, click.Context(found, info_name=name, parent=context))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands(page: Path) -> None:
    wrong = []
    for command in shown(page.read_text()):
        try:
            check(main, words_of(command), click.Context(main, info_name="gutctl"))
        except click.UsageError as error:
            wrong.append(f"{command}: {error.format_message()}")
    assert not wrong


def test_they_are_found() -> None:
    found = shown((ROOT / "docs/howto/options.md").read_text())
    assert "gutctl ext set east 0x3e=00d803" in found and len(found) > 15
    with pytest.raises(click.UsageError):
        check(main, ["tunnel", "add", "west", "--remoat", "x"], click.Context(main))
    with pytest.raises(click.UsageError):
        check(main, ["-n", "a", "tunnel", "ad"], click.Context(main))


def anchors(page: Path) -> set[str]:
    """What headings are called in links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            lost.append(target)
    assert not lost
