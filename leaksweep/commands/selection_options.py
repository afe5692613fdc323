"""The filters over checkpoints as options, the same for every command that takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer
from pydantic import ValidationError

from crawler.catalog.selection import Selection
from leaksweep.run import Run, declare
from leaksweep.settings import SettingsError

P = ParamSpec("P")
Words = list[str] | None

_OPTIONS = {
    "families": "--family",
    "kinds": "--kind",
    "hubs": "--hub",
    "licences": "--licence",
    "words": "--words",
    "bases": "--base",
    "ids": "--id",
}
"""Options that are not named as their filter is."""


def filters(
    family: Annotated[
        Words, typer.Option("--family", metavar="NAMES", help="Families, with commas; repeatable.")
    ] = None,
    kind: Annotated[
        Words, typer.Option("--kind", metavar="NAMES", help="Kinds, such as lora,full; repeatable.")
    ] = None,
    hub: Annotated[
        Words, typer.Option("--hub", metavar="NAMES", help="huggingface or civitai; repeatable.")
    ] = None,
    min_downloads: Annotated[
        int | None, typer.Option("--min-downloads", metavar="N", help="Least downloads of the repository.")
    ] = None,
    max_downloads: Annotated[
        int | None, typer.Option("--max-downloads", metavar="N", help="Most downloads of the repository.")
    ] = None,
    created_since: Annotated[
        str | None, typer.Option("--created-since", metavar="DATE", help="Made on this day or later.")
    ] = None,
    created_before: Annotated[
        str | None, typer.Option("--created-before", metavar="DATE", help="Made before this day.")
    ] = None,
    updated_since: Annotated[
        str | None, typer.Option("--updated-since", metavar="DATE", help="Changed on this day or later.")
    ] = None,
    updated_before: Annotated[
        str | None, typer.Option("--updated-before", metavar="DATE", help="Last changed before this day.")
    ] = None,
    licence: Annotated[
        Words, typer.Option("--licence", metavar="NAMES", help="Licences, with commas; repeatable.")
    ] = None,
    words: Annotated[
        Words,
        typer.Option(
            "--words", metavar="TEXT", help="In title, repository or prompts; repeatable, all must."
        ),
    ] = None,
    base: Annotated[
        Words, typer.Option("--base", metavar="REPOS", help="Base models, with commas; repeatable.")
    ] = None,
    base_grade: Annotated[
        str | None,
        typer.Option("--base-grade", metavar="GRADE", help="Least grade of what names the base model."),
    ] = None,
    id_: Annotated[
        Words, typer.Option("--id", metavar="ID", help="Checkpoints by id or key; repeatable.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="NAME", help="Members of a sample alone.")
    ] = None,
) -> Mapping[str, Any]:
    """The filters that were given, as `Selection` takes them."""
    given = {
        "families": _listed(family),
        "kinds": _listed(kind),
        "hubs": _listed(hub),
        "min_downloads": min_downloads,
        "max_downloads": max_downloads,
        "created_since": created_since,
        "created_before": created_before,
        "updated_since": updated_since,
        "updated_before": updated_before,
        "licences": _listed(licence),
        "words": words,
        "bases": _listed(base),
        "base_grade": base_grade,
        "ids": id_,
        "sample": sample,
    }
    return {name: value for name, value in given.items() if value is not None}


def selecting(
    function: Callable[Concatenate[Run, Mapping[str, Any], P], int],
) -> Callable[Concatenate[Run, P], int]:
    """Give `function(run, filters, ...)` the options of all filters. Goes below `leaksweep.run.command`."""

    @functools.wraps(function)
    def call(run: Run, /, *args: P.args, **kwargs: P.kwargs) -> int:
        own = {name: kwargs.pop(name) for name in inspect.signature(filters).parameters}
        return function(run, filters(**own), *args, **kwargs)  # type: ignore[arg-type]

    first, _, *rest = inspect.signature(function).parameters.values()
    hints = get_type_hints(filters, include_extras=True) | get_type_hints(function, include_extras=True)
    parameters = [first, *rest, *inspect.signature(filters).parameters.values()]
    declare(call, [one.replace(annotation=hints[one.name]) for one in parameters])
    return call


def selection(given: Mapping[str, Any], within: Selection | None = None) -> Selection:
    """The selection of the options given, over one that the settings make.

    Raises:
        SettingsError: a filter is wrong; each line of the message names one option.
    """
    settings = within.given() if within else {}
    try:
        return Selection.model_validate({**settings, **given})
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(fault) for fault in error.errors())) from None


def selected(run: Run, given: Mapping[str, Any]) -> Run:
    """The run with the options given in place of the settings' own filters.

    Raises:
        SettingsError: a filter is wrong.
    """
    if not given:
        return run
    scanner = run.settings.scanner
    chosen = scanner.model_copy(update={"selection": selection(given, scanner.selection)})
    settings = run.settings.model_copy(update={"scanner": chosen})
    return replace(run, loaded=replace(run.loaded, settings=settings))


def _listed(values: Words) -> list[str] | None:
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _explained(fault: Any) -> str:
    reason = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return str(reason)
    name = str(fault["loc"][0])
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    return f"{option} {fault['input']}: {reason[0].lower()}{reason[1:]}"
