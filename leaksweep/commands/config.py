"""`leaksweep config`: what is in force, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from crawler.catalog.engine import parse, shown
from leaksweep.commands.help_text import examples
from leaksweep.config_text import config_text, toml_value
from leaksweep.run import Run, command
from leaksweep.settings import DEFAULT_FILE, SettingsError, values

HOOK = "reports.notices.webhook_url"

app = typer.Typer(name="config", help="The settings: show, check, write.", no_args_is_help=True)


@app.command(epilog=examples("leaksweep config show", "leaksweep config show --set scanner.workers=2"))
@command
def show(run: Run) -> int:
    """Print every setting in force and where it came from."""
    in_force = values(run.settings)
    if run.settings.database:
        in_force["database"] = shown(parse(run.settings.database))
    if hook := run.settings.reports.notices.webhook_url:
        # What comes after the host is often what lets anybody post there.
        in_force[HOOK] = "{0.scheme}://{0.hostname}/...".format(urlsplit(hook))
    origins = run.loaded.origins
    rows = {key: {"value": value, "origin": origins[key]} for key, value in in_force.items()}
    texts = {key: f"{key} = {toml_value(value)}" for key, value in in_force.items()}
    width = max(len(text) for text in texts.values() if len(text) < 80)
    lines = [f"{text:<{width}}  # {origins[key]}" for key, text in texts.items()]
    run.finish({"file": run.loaded.file, "settings": rows}, "\n".join(lines))
    return 0


@app.command(epilog=examples("leaksweep config check", "leaksweep config check --config nightly.toml"))
@command
def check(run: Run) -> int:
    """Read the settings and do nothing else: exit code 4 and the key's name when something is wrong."""
    count = sum(origin != "default" for origin in run.loaded.origins.values())
    source = run.loaded.file or "built-in defaults"
    found = {"file": run.loaded.file, "ok": True, "given": count}
    run.finish(found, f"{source}: correct, {count} settings given")
    return 0


@app.command(epilog=examples("leaksweep config init", "leaksweep config init --out nightly.toml"))
@command
def init(
    run: Run,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> int:
    """Write a settings file with every setting, its default and what it means."""
    if out.exists() and not force:
        raise SettingsError(f"{out}: is there already; --force overwrites it, --out names another")
    out.write_text(config_text(), encoding="utf-8")
    run.finish({"file": out}, f"{out}: written")
    return 0
