"""What every command has in common: its settings, its stores, how loud it is, and where it prints."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from crawler.evidence.plain_text import printable
from leaksweep.home import Home
from leaksweep.settings import Loaded, Settings, load, parse_override

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One call of the command."""

    loaded: Loaded
    home: Home
    as_json: bool
    quiet: bool

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def key_file(self) -> Path:
        """Where the master key lies when the environment does not hold it."""
        return self.settings.key_file or self.home.root / "key"

    @property
    def no_bar(self) -> bool | None:
        """For tqdm's `disable`: None shows a bar on a terminal only."""
        return True if self.quiet else None

    def say(self, text: str) -> None:
        """A line for a person; with --json there is none, so that stdout holds one object."""
        if not (self.as_json or self.quiet):
            print(printable(text, keep="\n\t"), flush=True)

    def finish(self, summary: Mapping[str, Any], text: str) -> None:
        """The last word: one machine-readable object, or text for a person, -q or not."""
        last = json.dumps(summary, indent=2, default=str) if self.as_json else printable(text, keep="\n\t")
        if last:
            print(last, flush=True)


def shared_options(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file; default: config.toml."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="Folder of the stores; default: .leaksweep.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="Log more on stderr; -vv for everything.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors and the result only.")] = False,
) -> Run:
    """Read the settings and make ready. The parameters are the options that every command has.

    Raises:
        SettingsError: the settings file or an override is wrong.
    """
    _set_up_logging(verbose, quiet)
    _leave_no_core()
    overrides = dict(parse_override(text) for text in set_ or []) | ({"home": str(home)} if home else {})
    loaded = load(config, overrides)
    stores = Home(loaded.settings.home, loaded.settings.database)
    return Run(loaded=loaded, home=stores, as_json=as_json, quiet=quiet)


def command(function: Callable[Concatenate[Run, P], int]) -> Callable[..., None]:
    """Turn `function(run, ...) -> exit code` into what typer takes, with the shared options.

    Where the function has a parameter of a shared option's name, its own is the option.

    Ctrl-C is an orderly end: every stage keeps what it has written, so the message says how to go on.
    """

    own = list(inspect.signature(function).parameters.values())[1:]
    taken = {one.name for one in own}
    common = [one for one in inspect.signature(shared_options).parameters.values() if one.name not in taken]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        shared = {one.name: kwargs.pop(one.name) for one in common}
        try:
            code = function(shared_options(**shared), *args, **kwargs)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            print("\nstopped; what is done is kept. The same command goes on from here.", file=sys.stderr)
            raise typer.Exit(2) from None
        raise typer.Exit(code)

    hints = {
        name: hint
        for source in (shared_options, function)
        for name, hint in get_type_hints(source, include_extras=True).items()
    }
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name])
        for one in [*own, *common]
    ]
    declare(call, parameters)
    return call


def declare(call: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Have `call`, which wraps another function, read by these parameters: typer makes options of them."""
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    del call.__wrapped__  # type: ignore[attr-defined]


class PlainFormatter(logging.Formatter):
    """One line for each record, whatever strangers' names hold: none moves the cursor or begins another."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return printable(super().formatException(ei), keep="\n\t")


def _leave_no_core() -> None:
    """When a native library crashes, keys and pictures that lie in memory are not written to the disk."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _set_up_logging(verbose: int, quiet: bool) -> None:
    """Our own packages' loggers only: other libraries stay as they are, but at -vv."""
    levels = {0: logging.WARNING, 1: logging.INFO}
    level = logging.ERROR if quiet else levels.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    for package in ("crawler", "extraction", "scanner", "reports", "leaksweep"):
        logging.getLogger(package).setLevel(level)
