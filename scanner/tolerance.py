"""How near a picture that was made again has to come to the stored one, by what made the two. No torch.

The arithmetic is the same everywhere but for rounding: a sum is taken in another order in a batch of
another size and on another device, and guidance amplifies that. docs/evidence.md is printed from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What one class of devices may differ by."""

    title: str
    similarity: float
    """Cosine of the two descriptors, at least."""
    pdq: int
    """PDQ distance in bits of 256, at most."""
    phash: int
    """pHash distance in bits of 64, at most."""
    why: str

    def holds(self, similarity: float, pdq: int | None, phash: int | None) -> bool:
        """Whether all measures are within; None: could not be compared."""
        return (
            similarity >= self.similarity
            and (pdq is None or pdq <= self.pdq)
            and (phash is None or phash <= self.phash)
        )


SAME_CPU = Tolerance(
    title="same CPU, float32",
    similarity=0.99,
    pdq=10,
    phash=4,
    why="Same kernels; another batch size changes the order of some sums.",
)
OTHER_CPU = Tolerance(
    title="other CPU or torch, float32",
    similarity=0.98,
    pdq=16,
    phash=4,
    why="Vector units of another width, or other kernels, round otherwise at every step.",
)
CUDA_32 = Tolerance(
    title="CUDA, float32",
    similarity=0.95,
    pdq=20,
    phash=6,
    why="Other algorithms for the same sums, chosen by shape. Judgement: not measured here.",
)
HALF = Tolerance(
    title="float16 or bfloat16, any device",
    similarity=0.90,
    pdq=30,
    phash=8,
    why="A rounding is 8,000 to 65,000 times larger than in float32. Judgement: not measured on CUDA.",
)

TOLERANCES = (SAME_CPU, OTHER_CPU, CUDA_32, HALF)


def tolerance(made_on: str, here: str, dtype: str) -> Tolerance:
    """The tolerance for a picture made on one machine and again on another.

    Args:
        made_on: as `scanner.machine.machine_of` names it; "" when it is not known.
        here: the same of the machine that made it again.
        dtype: the recipe's.
    """
    if dtype != "float32":
        return HALF
    if made_on.startswith("cuda") or here.startswith("cuda"):
        return CUDA_32
    return SAME_CPU if made_on == here else OTHER_CPU


def markdown() -> str:
    """The table for the document."""
    rows = [
        f"| {one.title} | {one.similarity:g} | {one.pdq} | {one.phash} | {one.why} |" for one in TOLERANCES
    ]
    head = "| made on, and made again on | similarity at least | PDQ at most | pHash at most | why |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows]) + "\n"
