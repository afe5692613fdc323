"""The command `leaksweep`: what it is called with, and what it leaves the shell with."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from crawler.catalog.selection import SelectionError
from crawler.checkpoint import CrawlError
from crawler.evidence.plain_text import printable
from extraction.extraction import ExtractionError
from leaksweep.commands import (
    audit,
    calibrate,
    config,
    crawl,
    demo,
    erase,
    evidence,
    extract,
    key,
    notify,
    rates,
    refs,
    review,
    selection,
    stages,
    status,
    suppress,
    takedown,
)
from leaksweep.settings import SettingsError
from leaksweep.summaries import CLEAN, INCOMPLETE
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


USAGE = 4
"""Exit code of a wrong call or wrong settings; the others are those of `leaksweep.summaries`."""


def new_app() -> typer.Typer:
    """All commands, under one name."""
    app = typer.Typer(
        name="leaksweep",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    stages.register(app)
    crawl.register(app)
    selection.register(app)
    app.add_typer(refs.app)
    app.add_typer(audit.app)
    app.add_typer(config.app)
    app.add_typer(key.app)
    status.register(app)
    evidence.register(app)
    extract.register(app)
    rates.register(app)
    notify.register(app)
    takedown.register(app)
    review.register(app)
    erase.register(app)
    calibrate.register(app)
    suppress.register(app)
    demo.register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An error that a user can cause is one clear message."""
    try:
        with _terminable():
            code: int | None = new_app()(args=argv, prog_name="leaksweep", standalone_mode=False)
    except typer.TyperException as error:
        # A group without a command has shown its help by now, and has nothing to add.
        message = error.format_message()
        return _fail(f"{message}\nTry: leaksweep --help", USAGE) if message else USAGE
    except (SettingsError, SelectionError) as error:
        return _fail(str(error), USAGE)
    except (CrawlError, ExtractionError, ScanError, ReportError) as error:
        return _fail(str(error), INCOMPLETE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", INCOMPLETE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", INCOMPLETE)
    return code or CLEAN


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, which a service manager sends, ends a run as Ctrl-C does: in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str, code: int) -> int:
    print(printable(f"leaksweep: {message}", keep="\n\t"), file=sys.stderr)
    return code
