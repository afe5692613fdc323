"""The command: CLI, settings file, and the demo with its local hub and tiny zoo."""

from importlib.metadata import version

__version__ = version("leaksweep")
