"""The command `leaksweep`: what it is called with, and what it leaves the shell with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum

import typer

from crawler.checkpoint import CrawlError
from extraction.extraction import ExtractionError
from leaksweep.commands import config, demo, extract, refs, stages, status
from leaksweep.settings import SettingsError
from reports.finding import ReportError
from scanner.job import ScanError

HELP = """Find out which public fine-tuned diffusion checkpoints give back the pictures they were trained on.

Exit codes:

0 - clean

1 - findings at or above --fail-on

2 - incomplete or failed, Ctrl-C included; wins over 1

3 - nothing could be scanned

4 - usage or configuration
"""


class ExitCode(IntEnum):
    """What the shell is told; `reports.report.ExitCode` has the same first four."""

    CLEAN = 0
    FINDINGS = 1
    INCOMPLETE = 2
    NOTHING_SCANNABLE = 3
    USAGE = 4


def new_app() -> typer.Typer:
    """All commands, under one name."""
    app = typer.Typer(
        name="leaksweep", help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    stages.register(app)
    app.add_typer(refs.app)
    app.add_typer(config.app)
    status.register(app)
    extract.register(app)
    demo.register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An error that a user can cause is one clear message."""
    try:
        code: int | None = new_app()(args=argv, prog_name="leaksweep", standalone_mode=False)
    except typer.TyperException as error:
        # A group without a command has shown its help by now, and has nothing to add.
        message = error.format_message()
        return _fail(f"{message}\nTry: leaksweep --help", ExitCode.USAGE) if message else ExitCode.USAGE
    except SettingsError as error:
        return _fail(str(error), ExitCode.USAGE)
    except (CrawlError, ExtractionError, ScanError, ReportError) as error:
        return _fail(str(error), ExitCode.INCOMPLETE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", ExitCode.INCOMPLETE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", ExitCode.INCOMPLETE)
    return code or ExitCode.CLEAN


def _fail(message: str, code: ExitCode) -> int:
    print(f"leaksweep: {message}", file=sys.stderr)
    return code
