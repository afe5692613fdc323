"""config.toml as text: every setting with its default, its meaning and what is allowed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from leaksweep.settings import NONE, PRESETS, Settings, allowed_values, values

WIDTH = 100
"""Longest line of a comment."""

_HEAD = """\
# Every setting of leaksweep with its default. What a file leaves out has the value shown here; a key
# that is not listed here is an error. `leaksweep config check` reads a file without doing anything else.
# Tokens are no settings: they come from the environment only (HF_TOKEN, CIVITAI_TOKEN).
"""

_PRESET = """\
# "reference" takes the published settings, quirks included, in place of all other keys of this section;
# {choices}.
preset = "none"
"""


def config_text(settings: Settings | None = None) -> str:
    """The whole file; `tests/test_settings.py` holds config.toml to it, letter by letter."""
    settings = settings or Settings()
    return _HEAD + _table(settings, "") + "\n"


def section_text(section: str, settings: BaseModel) -> str:
    """One section with the sections in it, values alone; what is None is left out."""
    return _values_text(section, settings.model_dump(mode="json", exclude_none=True))


def _values_text(section: str, given: Mapping[str, Any]) -> str:
    tables = {name: value for name, value in given.items() if isinstance(value, dict)}
    plain = [f"{name} = {toml_value(value)}\n" for name, value in given.items() if name not in tables]
    inner = [f"\n{_values_text(f'{section}.{name}', table)}" for name, table in tables.items()]
    return "".join([f"[{section}]\n", *plain, *inner])


def toml_value(value: Any) -> str:
    """A value as TOML writes it; None is the word "none".

    Raises:
        TypeError: TOML has no such value.
    """
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's strings are TOML's, but for this one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{value!r} cannot be written as TOML")


def _table(model: BaseModel, section: str) -> str:
    """The settings of one section, then its sections: TOML wants them in this order."""
    blocks: list[str] = []
    if section == "recipe":
        blocks.append(_PRESET.format(choices=f"one of {', '.join(PRESETS)}"))
    shown = values(model)
    for name, field in type(model).model_fields.items():
        if name in shown:
            allowed = allowed_values(field)
            meaning = " ".join((field.description or "").split())
            comment = f"{meaning} {allowed[0].upper()}{allowed[1:]}." if allowed else meaning
            lines = textwrap.wrap(comment, WIDTH, initial_indent="# ", subsequent_indent="# ")
            blocks.append("\n".join([*lines, f"{name} = {toml_value(shown[name])}"]) + "\n")
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            path = f"{section}.{name}" if section else name
            blocks.append(f"[{path}]\n{_table(value, path)}")
    return "\n" + "\n".join(blocks) if not section else "\n".join(blocks)
