"""A local hub: the Hugging Face Hub and Civitai imitated on loopback, for the real clients to speak to."""

from leaksweep.hub.changes import Change, Changes, NothingToChange, Schedule
from leaksweep.hub.content import (
    CivitaiFile,
    CivitaiModel,
    CivitaiVersion,
    ContentError,
    HubContent,
    HubRepo,
    files_in,
)
from leaksweep.hub.faults import ALWAYS, ONCE, Faults, Strike
from leaksweep.hub.limits import Limits
from leaksweep.hub.process import HubProcess
from leaksweep.hub.serve import LocalHub
from leaksweep.hub.synthetic import Synthetic
from leaksweep.hub.traffic import Logged

__all__ = [
    "ALWAYS",
    "ONCE",
    "Change",
    "Changes",
    "CivitaiFile",
    "CivitaiModel",
    "CivitaiVersion",
    "ContentError",
    "Faults",
    "HubContent",
    "HubProcess",
    "HubRepo",
    "Limits",
    "LocalHub",
    "Logged",
    "NothingToChange",
    "Schedule",
    "Strike",
    "Synthetic",
    "files_in",
]
