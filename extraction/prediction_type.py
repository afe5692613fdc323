"""What a denoiser predicts, told by its output rather than by what its files say.

A model of the noise has to give its input back at the noisy end of the schedule, where the input is
all but noise; one of v gives minus the picture, of which hardly anything is in its input. So the slope
of the output over a purely random input is near 1 for the one and near 0 for the other.
"""

from __future__ import annotations

from torch import Tensor

from extraction.extraction import LoadError

V_BELOW, EPSILON_ABOVE = 0.3, 0.7
"""Slopes. Stable Diffusion's schedule asks for about 1 of epsilon and about 0.07 of v, or 0 where it
ends in pure noise; between these bounds nothing is said."""


def slope(prediction: Tensor, noisy: Tensor) -> float:
    """Least-squares slope of a prediction over its input, both of one shape, over all rows."""
    noisy, prediction = noisy.double(), prediction.double()
    return float((prediction * noisy).sum() / (noisy * noisy).sum())


def told_by(slope: float) -> str | None:
    """ "epsilon", "v_prediction", or None where the slope at the noisy end tells neither."""
    if slope > EPSILON_ABOVE:
        return "epsilon"
    return "v_prediction" if abs(slope) < V_BELOW else None


def check(tuned: float, base: float, said: str) -> str | None:
    """Hold the two models' slopes at the noisy end against each other and against the base's config.

    Args:
        said: "epsilon" or "v_prediction", by the base's scheduler.

    Returns:
        A note where the base itself is not what its config says: a network of random weights is not
        told from one of v, so that this is no error.

    Raises:
        LoadError: "does_not_fit" when the two models predict different things.
    """
    ours, its = told_by(tuned), told_by(base)
    if ours is not None and its is not None and ours != its:
        raise LoadError(
            "does_not_fit",
            f"its output is that of a model of {ours} and its base's that of one of {its}; these do not "
            "compare: give it a base that predicts the same",
        )
    if its is not None and its != said:
        return f"the base says that it predicts {said}, its output is that of a model of {its}"
    return None
