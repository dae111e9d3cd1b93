# SPDX-License-Identifier: Apache-2.0
"""The command line: a table of contents, and where errors end.

A noun's file is loaded when the noun is used, so that help and completion stay
fast and never load the netlink library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from gutctl import __version__
from gutctl.cli.context import Session, changing
from gutctl.cli.exits import INTERRUPTED, epilog
from gutctl.cli.lazy import LazyGroup
from gutctl.errors import ExitStatus, GutctlError

__all__ = ["main"]

TABLE = {
    "tunnel": ("gutctl.cli.tunnel:tunnel", "Make, change, delete and list tunnels."),
    "port": ("gutctl.cli.port:port", "Receiving UDP ports: what they accept, and from whom."),
    "profile": ("gutctl.cli.profile:profile", "Sending profiles: format, checksum, source ports."),
    "onpath": ("gutctl.cli.onpath:onpath", "Devices of a router that lower the path MTU in passing packets."),
    "ext": ("gutctl.cli.ext_all:ext", "Options of the GUT-less header: types, what tunnels send, what ports do."),
    "stats": ("gutctl.cli.stats:stats", "Counters of ports, profiles, plain links and devices on the path."),
    "ping": ("gutctl.cli.ping:ping", "Ask a peer for replies: loss, round trip, options understood."),
    "monitor": ("gutctl.cli.monitor:monitor", "Print ports, profiles and devices on the path as they change."),
    "decode": ("gutctl.cli.decode:decode", "Take packets apart, header by header."),
    "doctor": ("gutctl.cli.doctor:doctor", "Look for what keeps tunnels from working."),
}


class Root(LazyGroup):
    """Every refusal becomes a message, a hint and an exit status; never a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; return the exit status, or exit with it in ``standalone_mode``."""
        session = extra.setdefault("obj", Session())
        status = self._run(session, args, prog_name or "gutctl", complete_var, extra)
        if standalone_mode:
            sys.exit(status)
        return status

    def _run(
        self,
        session: Session,
        args: Sequence[str] | None,
        prog_name: str,
        complete_var: str | None,
        extra: dict[str, Any],
    ) -> int:
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
            return int(result) if isinstance(result, int) else ExitStatus.OK
        except GutctlError as error:
            return _refused(session, error)
        except click.ClickException as error:
            error.show()
            if session.json:
                _print_error(GutctlError(error.format_message()), int(error.exit_code))
            return int(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except BrokenPipeError:
            # who read us has seen enough; nor may the interpreter flush at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitStatus.FAILED
        except OSError as error:
            return _refused(session, GutctlError(_system(error)))
        except Exception as error:
            if os.environ.get("GUTCTL_DEBUG"):
                raise
            return _refused(session, _unexpected(error))
        finally:
            session.close()


def _refused(session: Session, error: GutctlError) -> int:
    from gutctl.cli.output import report_error

    report_error(session, error)
    return error.status


def _print_error(error: GutctlError, status: int) -> None:
    from gutctl.cli.output import error_record, print_json

    print_json(error_record(error, status))


def _system(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _unexpected(error: Exception) -> GutctlError:
    return GutctlError(
        f"this should not happen: {type(error).__name__}: {error}",
        "please report it, with what GUTCTL_DEBUG=1 in the environment adds",
    )


@click.group(
    "gutctl",
    cls=Root,
    table=TABLE,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog(),
)
@click.version_option(__version__, prog_name="gutctl", message="%(prog)s %(version)s")
@changing
def main() -> None:
    """Tunnels over UDP in the Linux kernel: GUT-less, GUE and FOU.

    One noun, then one verb. Options of this page may stand before or after them.
    """
