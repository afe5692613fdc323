"""Words and numbers as a person reads them; a stranger's words with nothing hidden in them."""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but letters of some scripts and emoji fall apart without them."""
_HIDDEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
"""Categories of what is obeyed and not seen, and of what no font has: half a character, or none at all, which
XML cannot hold."""
_FILLERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]")
"""Letters and marks by category that look like nothing: a name of these alone would be no name."""


def visible(text: str) -> str:
    """Return text with its invisible characters named, such as those that turn the direction of reading."""
    if text.isprintable() and not _FILLERS.search(text):
        return text  # most texts, at a hundredth of the time: none of these categories is printable
    return "".join(f"[U+{ord(letter):04X}]" if _hidden(letter) else letter for letter in text)


def _hidden(letter: str) -> bool:
    named = unicodedata.category(letter) in _HIDDEN and letter not in _JOINERS
    return named or _FILLERS.match(letter) is not None


def percent(share: float) -> str:
    """Return a share of 0 to 1 in per cent, never rounded to 0 or to 100 unless it is."""
    value = 100 * share
    if 0 < value < 0.01:
        digits = f"{value:.1g}" if value >= 0.0001 else "<0.0001"
    elif value < 1:
        digits = f"{value:.2f}" if value else "0"
    elif value < 10:
        digits = f"{value:.1f}"
    else:
        digits = f"{value:.0f}" if value < 99.5 or share == 1 else f"{min(value, 99.9):.1f}"
    return f"{digits}\u00a0%"


def shortened(text: str, longest: int) -> str:
    """Return text of at most so many characters, its end an ellipsis where something was cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def count(number: int) -> str:
    """Return a number with its thousands set apart."""
    return f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: "1 finding", "1,200 findings"."""
    return f"{number:,} {one if number == 1 else many}"
