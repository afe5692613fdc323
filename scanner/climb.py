"""The rungs of triage that need weights, climbed by a worker before the full run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from extraction.descriptors import Descriptor
from extraction.pair import Pair
from extraction.triage.ladder import Ladder
from extraction.triage.reading import Reading
from scanner.job import Job
from scanner.settings import TriageSettings
from scanner.triage import header_reading, reason_to_set_aside

logger = logging.getLogger(__name__)


class Climber:
    """Climbs for one worker, and keeps what the fine-tunes of one base have in common."""

    def __init__(self, settings: TriageSettings, describe: Descriptor, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._describe = describe
        self._clock = clock
        self._ladder: Ladder | None = None

    def __call__(self, pair: Pair, weights: Path, job: Job, prompt: str, batch: int) -> list[Reading]:
        """Readings up to the first that is reason enough to set the checkpoint aside; none unless asked to.

        Only rungs with a threshold are climbed: the others would be paid for and decide nothing.

        Args:
            pair: tuned to `weights`.
            prompt: the best of the job's, as it is asked.
            batch: rows in one forward.
        """
        rungs = self._settings.thresholds
        if not rungs:
            return []
        readings = [header_reading(job.checkpoint)]
        if reason_to_set_aside(readings, self._settings):
            return readings
        if self._ladder is None or self._ladder.pair is not pair:
            self._ladder = Ladder(pair, self._describe, batch, self._clock)
        self._ladder.batch = batch
        try:
            for one in self._ladder.climb(weights, prompt, job.recipe, rungs):
                readings.append(one)
                if reason_to_set_aside([one], self._settings):
                    break
        except torch.OutOfMemoryError:
            # The full run finds the batch that fits; a rung that did not is no reason to set aside.
            logger.info("job %s: out of memory in triage", job.id)
        return readings
