"""How examples stand at the end of a --help."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """An epilog that shows each example on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])
