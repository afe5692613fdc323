"""The change of a fine-tune as matrices: two thin factors where its file has them, else a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from extraction.adapters import Adapter
from extraction.fine_tune import FineTune, open_fine_tune
from extraction.pair import Pair
from extraction.triage.spectrum import LayerSpectrum, Spectrum, layer_spectrum, sum_up
from extraction.triage.svd import Svd, largest, of_factors

CHANNELS = 32
"""Singular values looked for where a change has no thin factors, and directions of the base's principal
subspace at most; a layer of fewer rows or columns takes a quarter of them, so that something is outside."""


class Subspaces:
    """The principal subspace of each layer of one base, found once for all its fine-tunes."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters
        self._found: dict[str, tuple[Svd, float]] = {}

    def __call__(self, name: str) -> tuple[Svd, float]:
        """The largest channels of a parameter, and its Frobenius norm."""
        if name not in self._found:
            matrix = self._parameters[name].float().flatten(1)
            count = max(1, min(CHANNELS, *(side // 4 for side in matrix.shape)))
            self._found[name] = largest(matrix, count), float(torch.linalg.matrix_norm(matrix))
        return self._found[name]


@torch.no_grad()
def spectrum_of(pair: Pair, path: Path, subspaces: Subspaces) -> Spectrum:
    """Read the spectrum of the fine-tune that lies at `path` and that the pair has been tuned to.

    Raises:
        LoadError: the file changed since.
    """
    fine_tune = open_fine_tune(path, pair.original)
    return sum_up(_layers(pair, fine_tune, subspaces))


def _layers(pair: Pair, fine_tune: FineTune, subspaces: Subspaces) -> Iterator[LayerSpectrum]:
    for name, base in pair.base_parameters.items():
        tuned = pair.tuned_parameters[name]
        if base.dim() < 2 or torch.equal(base, tuned):
            continue
        thin = None
        if isinstance(fine_tune, Adapter):
            thin = fine_tune.factors(name.removesuffix(".weight"), pair.base_parameters)
        if thin is not None:
            change = of_factors(*thin, 1.0)
            norm = float(torch.linalg.vector_norm(change.values))
        else:
            difference = (tuned.float() - base.float()).flatten(1)
            change, norm = largest(difference, CHANNELS), float(torch.linalg.matrix_norm(difference))
        yield layer_spectrum(name, change, norm, *subspaces(name))
