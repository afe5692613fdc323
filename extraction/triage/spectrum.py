"""The second rung: the spectrum of the change, layer by layer, against the base's own. No forward."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from extraction.triage.svd import Svd


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpectrum:
    """The change of one layer."""

    layer: str
    norm: float
    """Frobenius norm of the whole change."""
    base_norm: float
    values: tuple[float, ...]
    """Its largest singular values, as many as were looked for."""
    outside: float
    """Share of the channels' energy outside the base's principal subspace, 0 to 1; see `outside_share`."""
    outside_by_chance: float
    """The same for channels of random directions."""

    @property
    def captured(self) -> float:
        """Share of the energy that `values` hold, 0 to 1."""
        return min(1.0, sum(value**2 for value in self.values) / self.norm**2) if self.norm else 0.0

    @property
    def effective_rank(self) -> float:
        return effective_rank(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """The change of a model, summed up over its layers, each with the weight of its energy.

    There is no estimate of N_0 here. DSiRe (Salama et al., 2024) reads it off such spectra after
    calibration on hundreds of LoRAs of one recipe; we have none to calibrate on.
    """

    layers: int
    relative_change: float
    """Norm of the change over the norm of the base, over the layers that changed."""
    effective_rank: float
    """Of a layer, on average."""
    top_share: float
    """Share of the energy in each layer's largest channel, 0 to 1."""
    outside: float
    """Share of the energy outside the base's principal subspace, 0 to 1."""
    outside_by_chance: float
    captured: float
    """Share of the energy that was looked at; below 1 for a full fine-tune."""

    @property
    def score(self) -> float | None:
        """Energy that the base's principal subspace does not explain, relative to the base's: at least 0.

        `relative_change * sqrt(outside)`. After Base-Anchored Filtering (arXiv 2605.10439): channels that
        are weakly aligned with the base's carry what was memorised, strongly aligned ones generalise.
        """
        return self.relative_change * math.sqrt(self.outside) if self.layers else None

    @property
    def why(self) -> str:
        if not self.layers:
            return "no layer with a matrix for a weight has changed"
        return (
            f"weights changed by {self.relative_change:.1%} over {self.layers} layers, {self.outside:.0%} of "
            f"the energy outside the base's main directions (by chance {self.outside_by_chance:.0%})"
        )


def layer_spectrum(layer: str, change: Svd, norm: float, base: Svd, base_norm: float) -> LayerSpectrum:
    """Measure one layer.

    Args:
        change: all channels of the change, or its largest.
        norm: Frobenius norm of the whole change.
        base: the largest channels of the base's weight: its principal subspace.
    """
    rows, columns = change.left.shape[0], change.right.shape[0]
    block = base.left.shape[1] * base.right.shape[1]
    return LayerSpectrum(
        layer=layer,
        norm=norm,
        base_norm=base_norm,
        values=tuple(change.values.tolist()),
        outside=outside_share(change, base),
        outside_by_chance=1 - block / (rows * columns),
    )


def outside_share(change: Svd, base: Svd) -> float:
    """Share of the change's energy in channels outside the base's principal subspace, 0 to 1.

    A channel `s u v'` lies inside as far as both its directions do: `|P u|^2 |Q v|^2`, with P and Q the
    projections on the base's left and right directions. 0 when the base's own main channels were
    rescaled, 1 when the directions are new on one side at least.
    """
    energy = change.values**2
    total = float(energy.sum())
    if total == 0:
        return 0.0
    inside = _inside(base.left, change.left) * _inside(base.right, change.right)
    return min(1.0, max(0.0, 1 - float((energy * inside).sum()) / total))


def effective_rank(values: Iterable[float]) -> float:
    """exp of the entropy of the normalised singular values (Roy and Vetterli, 2007): 1 to their number."""
    positive = [value for value in values if value > 0]
    total = sum(positive)
    return math.exp(-sum(value / total * math.log(value / total) for value in positive)) if positive else 0.0


def sum_up(layers: Iterable[LayerSpectrum]) -> Spectrum:
    """The model's spectrum: each layer counts by the energy of its change."""
    changed = [layer for layer in layers if layer.norm > 0]
    weights = [layer.norm**2 for layer in changed]
    total, base = sum(weights), sum(layer.base_norm**2 for layer in changed)

    def mean(values: Iterable[float]) -> float:
        return sum(map(float.__mul__, weights, values)) / total if total else 0.0

    return Spectrum(
        layers=len(changed),
        relative_change=math.sqrt(total / base) if base else 0.0,
        effective_rank=mean(layer.effective_rank for layer in changed),
        top_share=mean((layer.values[0] / layer.norm) ** 2 for layer in changed),
        outside=mean(layer.outside for layer in changed),
        outside_by_chance=mean(layer.outside_by_chance for layer in changed),
        captured=mean(layer.captured for layer in changed),
    )


def _inside(basis: Tensor, directions: Tensor) -> Tensor:
    """Squared length of each direction's projection on a basis, (r,)."""
    return (basis.T @ directions).square().sum(dim=0)
