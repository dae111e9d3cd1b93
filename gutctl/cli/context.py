# SPDX-License-Identifier: Apache-2.0
"""What every command has: the global options, and the kernel's doors, opened when needed.

Tests hand in a session with a world of their own: ``main(args, obj=Session(...))``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gutctl._wire.optiontype import Option
from gutctl.checks import link_name
from gutctl.errors import UsageError

if TYPE_CHECKING:
    from gutctl._wire.rule import ReceiveRule
    from gutctl.door import Netns
    from gutctl.model import Module
    from gutctl.world import World

    Parameter = click.ParamType[Any]
else:
    # generic for type checkers only, and only in newer versions of click
    Parameter = click.ParamType

__all__ = ["Checked", "Session", "changing", "common", "pass_session"]

F = TypeVar("F", bound=Callable[..., Any])

MODULE_VARIABLE = "GUTCTL_MODULE"
"""In the environment: what --module says where it is not given."""


def _open_world(netns: Netns) -> World:
    from gutctl.world import World

    return World(netns)


class Session:
    """One run of the tool."""

    def __init__(self, open_world: Callable[[Netns], World] = _open_world) -> None:
        self.netns: str | None = None
        self.module: str | None = None
        self.json = False
        self.verbose = False
        self.check = False
        self.diff = False
        self._open_world = open_world
        self._world: World | None = None

    @property
    def world(self) -> World:
        """The namespaces, with the one given as ``--netns`` as ``here``."""
        if self._world is None:
            self._world = self._open_world(self.netns)
        return self._world

    @property
    def only(self) -> Module | None:
        """The module asked for by --module or the environment, None: none in particular."""
        from gutctl.model import Module

        word = self.module or os.environ.get(MODULE_VARIABLE, "")
        if word and word not in set(Module):
            raise UsageError(f"{MODULE_VARIABLE}={word}: gutless or fou")
        return Module(word) if word else None

    def gutless(self, what: str) -> World:
        """The namespaces; raises UsageError where another module is asked for ``what``, which it does not have."""
        if self.only not in (None, "gutless"):
            raise UsageError(f"the in-tree module {self.only} has no {what}", f"leave out --module and {MODULE_VARIABLE}")
        return self.world

    def command(self, noun: str) -> str:
        """``gutctl tunnel`` as the user has to say it, for hints."""
        return " ".join(["gutctl", *(["-n", self.netns] if self.netns else []), noun])

    def close(self) -> None:
        """Close the kernel's doors."""
        if self._world is not None:
            self._world.close()
            self._world = None


pass_session = click.make_pass_decorator(Session, ensure=True)


class Checked(Parameter):
    """A parameter that a function of :mod:`gutctl.checks` turns into a value."""

    def __init__(self, name: str, convert: Callable[[str], Any]) -> None:
        self.name = name
        self._convert = convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; raises gutctl's own UsageError, which has a hint."""
        return self._convert(value) if isinstance(value, str) else value


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Options before and after the verb mean the same: the last one given counts."""
    if value in (None, False) or ctx.resilient_parsing:
        return
    setattr(ctx.ensure_object(Session), str(param.name), value)


def _flag(*words: str, help: str) -> Callable[[F], F]:
    return click.option(*words, is_flag=True, expose_value=False, callback=_remember, help=help)


def common(function: F) -> F:
    """-n, --json, -v, --module: taken by every command."""
    function = click.option(
        "--module",
        type=click.Choice(["gutless", "fou"]),
        expose_value=False,
        callback=_remember,
        help="The kernel module meant: gutless, or the kernel's own fou.  [$GUTCTL_MODULE; to make: gutless, else both]",
    )(function)
    function = _flag("-v", "--verbose", help="Print the equivalent ip commands on stderr.")(function)
    function = _flag("--json", help="Print one JSON record instead of text.")(function)
    return click.option(
        "-n",
        "--netns",
        metavar="NETNS",
        expose_value=False,
        callback=_remember,
        help="Work in this network namespace: a name, a path or a process id.",
    )(function)


def changing(function: F) -> F:
    """--check and --diff: taken by every command that changes something."""
    function = _flag("--diff", help="Print what changes, as lines with +, - and ~.")(function)
    function = _flag("--check", help="Change nothing; exit with 8 when something would be changed.")(function)
    return common(function)


NAME = Checked("NAME", link_name)
"""The name of a tunnel's device."""

OPTION_HELP = "An option in every packet (format gutless); may be repeated: docs/extensions.md."


def _option(text: str) -> Option:
    # the types, and packages that declare more, are loaded only where one is named
    from gutctl.ext_api import parse_option

    return parse_option(text)


OPTION = Checked("NAME[=VALUE]", _option)
"""An option as ``gutctl.ext_api`` writes it."""


def _rule(text: str) -> ReceiveRule:
    from gutctl.ext_api import parse_rule

    return parse_rule(text)


def _type(text: str) -> int:
    from gutctl.ext_api import type_number

    return type_number(text)


RULE = Checked("TYPE=ACTION[=VALUE]", _rule)
"""A receive rule, likewise."""

OPTION_TYPE = Checked("TYPE", _type)
"""A type of option by its name or number."""
