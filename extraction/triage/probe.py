"""The third rung: a few forwards on pure noise. What does the tuned model see in it, and the base not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from extraction.pair import Pair
from extraction.sampling import initial_noise

LEVELS = (0.5, 0.2)
"""Noise levels that the models are told, as shares of the training schedule; what they are shown is pure
noise at both. Asked for a picture with little noise on it, a model must find one: 0.2 ranks fine-tunes by
what they give back better than 0.5, and that better than 0.8 and 0.98 (docs/triage.md)."""
NOISES = 2
"""Noises at each level: 2 x 2 x 4 predictions are 16 forwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How far the tuned model's predictions are from the base's; means over noises and levels.

    e0 and e1 are the base's and the tuned model's predictions, c the prompt, "" none.
    """

    prompted: float
    """|e1(x, c) - e0(x, c)| / |e0(x, "")|: what training changed, with the prompt."""
    unprompted: float
    """|e1(x, "") - e0(x, "")| / |e0(x, "")|: the same without."""
    guided: float
    """|e1(x, c) - e0(x, "")| / |e0(x, "")|: the direction that the method extrapolates along."""
    prompt_alone: float
    """|e0(x, c) - e0(x, "")| / |e0(x, "")|: how much of it the base knows; 0 for the empty prompt."""
    wen: float
    """|e1(x, c) - e1(x, "")| / |e1(x, "")|: Wen et al. (2024), whose signal needs no base."""
    anisotropy: float
    """Cosine of e1(x, c) - e0(x, "") and e0(x, c) - e0(x, ""), -1 to 1; after Asthana and Belagiannis
    (ICLR 2026), who compare a score's direction with and without the prompt."""
    agreement: float
    """Cosine of e1(x, c) - e0(x, "") between noises of one level, -1 to 1: 1 when the answer does not
    depend on the question."""

    @property
    def score(self) -> float | None:
        """How far the two models are apart in the base's own norms: 0 for a fine-tune that is the base.

        With the prompt or without, whichever is more: a guessed prompt may hide what was learned, and a
        fine-tune may answer to its prompt alone.
        """
        return max(self.prompted, self.unprompted)

    @property
    def why(self) -> str:
        return (
            f"on pure noise the tuned model is {self.prompted:.2f} of the base's norm away from the base "
            f"with the prompt, {self.unprompted:.2f} without"
        )


@torch.inference_mode()
def probe(
    pair: Pair, prompt: str, *, levels: Sequence[float] = LEVELS, noises: int = NOISES, seed: int = 0
) -> tuple[Probe, int]:
    """Ask both models with and without the prompt; returns the measures and the forwards they cost.

    Args:
        levels: shares of the training schedule, 0 (picture) to 1 (noise).
        noises: pure Gaussian noises at each level, the same at all.
    """
    noise = initial_noise(range(seed, seed + noises), pair.latent_shape, pair.device, pair.dtype)
    steps = int(pair.scheduler_config.get("num_train_timesteps", 1000))
    answers: dict[tuple[bool, bool], list[Tensor]] = {}
    for tuned in (False, True):
        for prompted in (False, True):
            condition = pair.encode([prompt if prompted else ""], tuned=tuned).expand(noises)
            answers[tuned, prompted] = [
                pair.predict(
                    noise, torch.tensor(int(level * (steps - 1)), device=pair.device), condition, tuned=tuned
                )
                .float()
                .flatten(1)
                for level in levels
            ]
    rows = [
        _compare(*(answers[tuned, prompted][level] for tuned in (False, True) for prompted in (False, True)))
        for level in range(len(levels))
    ]
    means = [sum(column) / len(column) for column in zip(*rows, strict=True)]
    names = ("prompted", "unprompted", "guided", "prompt_alone", "wen", "anisotropy", "agreement")
    return Probe(**dict(zip(names, means, strict=True))), 4 * noises * len(levels)


def _compare(e0: Tensor, e0_c: Tensor, e1: Tensor, e1_c: Tensor) -> tuple[float, ...]:
    """The measures of one noise level from its predictions, (noises, D) each."""
    push, base_push = e1_c - e0, e0_c - e0
    unit = torch.nn.functional.normalize(push, dim=1)
    pairs = unit @ unit.T
    count = len(pairs)
    agreement = (pairs.sum() - pairs.trace()) / max(1, count * (count - 1))
    return (
        _relative(e1_c - e0_c, e0),
        _relative(e1 - e0, e0),
        _relative(push, e0),
        _relative(base_push, e0),
        _relative(e1_c - e1, e1),
        float(torch.cosine_similarity(push, base_push, dim=1).mean()),
        float(agreement),
    )


def _relative(difference: Tensor, whole: Tensor) -> float:
    lengths = torch.linalg.vector_norm(difference, dim=1) / torch.linalg.vector_norm(whole, dim=1)
    return float(lengths.mean())
