"""The settings file: each package's own section, composed, checked, and with where every value came from."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from crawler.settings import CrawlerSettings
from extraction.recipe import REFERENCE, Recipe
from reports.settings import ReportsSettings
from scanner.settings import ScannerSettings

DEFAULT_FILE = Path("config.toml")
"""Read when it lies in the working folder and --config names no other."""

PRESET = "recipe.preset"
"""The one key that belongs to no field: it stands for a whole recipe."""

PRESETS: dict[str, Recipe | None] = {"none": None, "reference": REFERENCE}

SECRET = ("database", "reports.notices.webhook_url")
"""Settings that may hold a password or a token, which no message repeats."""

NONE = "none"
"""How a file says None, for which TOML has no word."""


class SettingsError(Exception):
    """The settings file or an option is wrong; each line of the message names one key."""


class Settings(BaseModel):
    """config.toml. A package is handed its section and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path = Path(".leaksweep")
    """Folder for everything that leaksweep writes; --home overrides it."""
    database: str | None = Field(default=None, pattern=r"^[a-z0-9+]+://")
    """SQLAlchemy URL of a PostgreSQL database for catalog and ledger; "none" keeps catalog.db at home."""
    key_file: Path | None = None
    """File with the master key, which pictures, keys and hash lists are encrypted with; "none" is the
    file `key` at home. LEAKSWEEP_KEY in the environment wins. `leaksweep key new` makes one."""
    crawler: CrawlerSettings = Field(default_factory=CrawlerSettings)
    recipe: Recipe = Field(default_factory=Recipe)
    scanner: ScannerSettings = Field(default_factory=ScannerSettings)
    reports: ReportsSettings = Field(default_factory=ReportsSettings)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force, and where each came from."""

    settings: Settings
    file: Path | None
    """The file that was read; None when there was none."""
    origins: Mapping[str, str]
    """By dotted key: "default", the file's name, "preset reference" or "command line"."""


def load(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Compose the settings: defaults, then the file, then a preset, then the command line.

    Args:
        file: the settings file; None reads config.toml in the working folder where there is one.
        overrides: values of the command line by dotted key, such as {"scanner.workers": 2}.

    Raises:
        SettingsError: the file cannot be read or is no TOML, a key is unknown, a value is out of range.
    """
    file = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    layers = [(str(file), dict(_leaves(_read(file), Settings)))] if file else []
    called = {key: value for key, value in (overrides or {}).items() if value is not None}
    layers.append(("command line", called))
    _refuse_unknown(layers)
    preset = next((given[PRESET] for _, given in reversed(layers) if PRESET in given), NONE)
    layers.insert(-1, (f"preset {preset}", _preset(preset)))

    chosen = values(Settings())
    origins = dict.fromkeys([PRESET, *chosen], "default")
    for origin, given in layers:
        for key, value in given.items():
            chosen[key] = _or_none(key, value)
            origins[key] = origin
    chosen.pop(PRESET, None)
    try:
        settings = Settings.model_validate(_tree(chosen))
    except ValidationError as error:
        raise SettingsError(_explain(error, origins)) from None
    return Loaded(settings, file, origins)


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting by its dotted key, in the order of the classes."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        section = _section(field)
        found |= fields(section, f"{prefix}{name}.") if section else {prefix + name: field}
    return found


def values(settings: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted key; what is not plain, such as a path, as a file would hold it."""
    found: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found |= values(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = settings.model_dump(mode="json", include={name})[name]
    return found


def parse_override(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE of the option --set; the value is read as in the file, or else as plain text.

    Raises:
        SettingsError: there is no "=".
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: must be KEY=VALUE, such as --set scanner.workers=2")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is no TOML: {error}") from error


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _leaves(table: Mapping[str, Any], model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a table stays whole where a setting is a table itself."""
    for name, value in table.items():
        field = model.model_fields.get(name)
        section = _section(field) if field else None
        if isinstance(value, dict) and section:
            yield from _leaves(value, section, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[name] = value
    return tree


def _preset(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise SettingsError(f"{PRESET} = {name!r}: must be one of {', '.join(PRESETS)}")
    recipe = PRESETS[name]
    return values(recipe, "recipe.") if recipe else {}


def _or_none(key: str, value: object) -> object:
    field = fields().get(key)
    return None if value == NONE and field and type(None) in get_args(field.annotation) else value


def _refuse_unknown(layers: list[tuple[str, dict[str, Any]]]) -> None:
    known = [*fields(), PRESET]
    lines = [
        f"{origin}: there is no setting {key!r}{_nearest(key, known)}"
        for origin, given in layers
        for key in given
        if key not in known
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def _nearest(key: str, known: list[str]) -> str:
    if any(candidate.startswith(f"{key}.") for candidate in known):
        return f"; it is a section, written as [{key}]"
    name = key.rpartition(".")[2]
    elsewhere = [candidate for candidate in known if candidate.rpartition(".")[2] == name]
    near = elsewhere or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "; `leaksweep config show` lists all"


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    known = fields()
    lines = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        key = next((key for key in known if f"{place}.".startswith(f"{key}.")), place)
        origin = origins.get(key) or _origin_of_section(place, origins)
        allowed = allowed_values(known[key]) if key in known else ""
        if fault["type"] == "extra_forbidden":
            lines.append(f"{origin}: there is no setting {place!r}")
        elif fault["type"] == "missing":
            lines.append(f"{origin}: {place} is missing: it must stand beside the others of its section")
        elif key not in known:
            lines.append(f"{origin}: [{place}] {fault['msg'].removeprefix('Value error, ')}")
        else:
            reason = f"must be {allowed}" if allowed and key == place else fault["msg"]
            given = "" if key in SECRET else f" = {fault['input']!r}"
            lines.append(f"{origin}: {place}{given}: {reason.removeprefix('Value error, ')}")
    return "\n".join(dict.fromkeys(lines))


def _origin_of_section(section: str, origins: Mapping[str, str]) -> str:
    """Who last set something in it: the one to look at when its keys do not agree."""
    inside = [origin for key, origin in origins.items() if key.startswith(f"{section}.")]
    return next((origin for origin in reversed(inside) if origin != "default"), "defaults")


def allowed_values(field: FieldInfo) -> str:
    """The range or the choices of a setting in words; "" where its class alone says what is allowed."""
    kinds = (field.annotation, *get_args(field.annotation))
    choices = [choice for kind in kinds for choice in _choices(kind)]
    if choices:
        return f"one of {', '.join(choices)}"
    limits = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(rule, name, None) is not None
    }
    if limits.keys() == {"ge", "le"}:
        return f"from {limits['ge']} to {limits['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {limit}" for name, limit in limits.items())


def _choices(kind: object) -> list[str]:
    return [str(choice) for choice in get_args(kind)] if getattr(kind, "__origin__", None) is Literal else []
