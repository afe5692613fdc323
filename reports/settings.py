"""[reports] in config.toml: what counts as a match, how grave it is, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reports.finding import ReportError, Severity


class Similarities(BaseModel):
    """Cosine similarities of one descriptor that reach a severity; higher is stricter."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    critical: float = Field(gt=0, le=1)
    """Counts as critical when a perceptual hash agrees; never by itself."""
    high: float = Field(gt=0, le=1)
    """Counts as high by itself."""
    medium: float = Field(gt=0, le=1)
    """Counts as medium when a perceptual hash is not far off."""
    low: float = Field(gt=0, le=1)
    """Counts as a lead by itself; nothing below it is kept."""
    normalised_high: float | None = Field(default=None, ge=-2, le=2)
    """Similarity less what the extraction reaches on the background set, which high asks for as well. Higher
    is stricter; "none" asks for nothing. `leaksweep calibrate` measures it."""

    @model_validator(mode="after")
    def _fall(self) -> Self:
        if not self.critical >= self.high >= self.medium >= self.low:
            raise ValueError("similarities must not rise from critical over high and medium to low")
        return self


class Ladder(BaseModel):
    """Distances and similarities that reach a severity. A few published numbers, the rest judgement.

    "Measured" is `leaksweep calibrate` on 106 photographs, 14 distorted copies of each: the share of copies
    that a number finds by itself, and of 149,380 pairs of strangers how many it takes for copies, with the
    95 % interval (benchmarks/results/calibration.json). 0 pairs is at most 1 in 38,000.
    All of them belong to pictures of 256 px and more. Smaller or blurred ones need numbers of their
    own, measured on decoys: at 64 px SSCD told copies from strangers at about 0.33.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pdq_critical: int = Field(default=20, ge=0, le=256)
    """PDQ distance in bits of 256 that is critical by itself. Lower is stricter, and distances are
    always even. Published advice calls 20 and less a confident match. Measured: 75 % of copies (73 to 78),
    0 pairs."""
    pdq_high: int = Field(default=30, ge=0, le=256)
    """PDQ distance that is high by itself. PDQ's authors start at 31, which is the same as 30. Measured:
    83 % of copies (81 to 85), 0 pairs."""
    pdq_low: int = Field(default=52, ge=0, le=256)
    """PDQ distance that is a lead, and backs a medium similarity. The ceiling of ThreatExchange's
    flat index, "possibly at the cost of precision". Measured: 93 % of copies (91 to 94), 0 pairs."""
    phash_high: int = Field(default=4, ge=0, le=64)
    """pHash distance in bits of 64 that is high by itself. Chance alone reaches 4 once in 10^13 pairs, but
    templates and borders are no chance. Measured: 86 % of copies (84 to 88), 0 pairs."""
    phash_low: int = Field(default=8, ge=0, le=64)
    """pHash distance that is a lead. Measured: 95 % of copies (94 to 96), 0 pairs."""
    phash256_high: int = Field(default=24, ge=0, le=256)
    """Distance of 256-bit pHash that is high by itself. Measured: 81 % of copies (79 to 83), 0 pairs."""
    phash256_low: int = Field(default=50, ge=0, le=256)
    """The same that is a lead. perception's users' guide starts at 0.2, which is 51 bits. Measured: 93 % of
    copies (91 to 94), 0 pairs."""
    sscd: Similarities = Similarities(critical=0.75, high=0.75, medium=0.60, low=0.50)
    """SSCD, whichever maker. 0.75: 90 % precision on DISC pairs (its README). Measured, on the int8 model:
    0.75 finds 84 % of copies (82 to 86) and takes 4 pairs for copies (1 in 37,000; 96,000 to 15,000), 0.5
    finds 95 % (94 to 96) and takes 61 (1 in 2,400; 3,100 to 1,900)."""
    thumbnail: Similarities = Similarities(critical=0.95, high=0.90, medium=0.85, low=0.80)
    """The thumbnail. Judgement: other photographs reach 0.84, a copy through an autoencoder 0.96."""
    calibrated_from: str = ""
    """What these numbers were measured on, in words, for the report; empty: the defaults above."""

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if not self.pdq_critical <= self.pdq_high <= self.pdq_low:
            raise ValueError("distances must not fall from pdq_critical over pdq_high to pdq_low")
        if self.phash_high > self.phash_low:
            raise ValueError("phash_high must not be above phash_low")
        if self.phash256_high > self.phash256_low:
            raise ValueError("phash256_high must not be above phash256_low")
        return self

    def similarities(self, descriptor: str) -> Similarities:
        """Return the similarities for a descriptor's name and maker.

        Raises:
            ReportError: no similarities are known for this descriptor.
        """
        if descriptor.startswith("sscd"):
            return self.sscd
        if descriptor.startswith("thumbnail"):
            return self.thumbnail
        raise ReportError(
            f'descriptor "{descriptor}": the ladder has no similarities for it; '
            'scan with descriptor = "sscd" or "thumbnail" under [recipe]'
        )


class RetentionSettings(BaseModel):
    """[reports.retention]: how long what is kept; applied by every sweep. A legal hold exempts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pixels_days: int | None = Field(default=90, ge=0, le=3650)
    """Pictures that matched lose their key so many days after they were made; "none" keeps them."""
    gone_days: int | None = Field(default=365, ge=0, le=3650)
    """Findings that are gone, suppressed or withdrawn are deleted so many days after they were last seen."""
    hashes_days: int | None = Field(default=None, ge=0, le=3650)
    """Hashes and descriptors of extractions that no finding rests on are deleted after so many days; such
    an extraction cannot be matched with a later set."""


class ReviewSettings(BaseModel):
    """[reports.review]: the page of `leaksweep review`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback has to be asked for with --expose as well."""
    port: int = Field(default=8475, ge=0, le=65535)
    """Port; 0 takes a free one."""
    two_person: bool = False
    """A finding is settled when two people have given it the same label."""
    soften: Literal["none", "grey", "blur"] = "none"
    """How a picture is first shown after it was asked for. No safeguard: studies found no less harm."""
    warn_score: float = Field(default=0.2, ge=0, le=1)
    """Sensitivity score from which the page warns before a picture is shown. Lower warns more often."""
    session_minutes: int = Field(default=60, ge=1, le=1440)
    """Without a request for so long, the page asks for the token again."""


class NoticeSettings(BaseModel):
    """[reports.notices]: who is told of a run's end. Counts and ids only; the secret is
    LEAKSWEEP_WEBHOOK_SECRET in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    webhook_url: str | None = Field(default=None, pattern=r"^https?://")
    """Address that is sent a signed JSON message after each sweep; "none" sends nothing."""
    prometheus_file: Path | None = None
    """File of a node exporter's textfile collector that is written after each sweep."""


class ReportsSettings(BaseModel):
    """How extractions are matched with references, and what is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    ladder: Ladder = Ladder()
    sets: dict[str, Ladder] = Field(default_factory=dict)
    """A ladder of its own for a reference set, by the set's name."""
    decoys: tuple[str, ...] = ()
    """Reference sets that no checkpoint can have seen. A match with one is a false one: it is counted
    as the run's false-positive rate and is never a finding."""
    negatives: tuple[str, ...] = ()
    """Reference sets of known innocent look-alikes: a finding whose picture is at least as near to one of
    them is suppressed."""
    background: str | None = None
    """Reference set of pictures that nobody looks for. Similarities are normalised against it, as SSCD's
    authors do; "none" leaves them as they are."""
    canaries: int = Field(default=8, ge=0, le=256)
    """Known pictures planted in every matching, of which every one has to be found for the run to count as
    complete; 0 plants none. Higher proves more."""
    min_pdq_quality: int = Field(default=50, ge=0, le=100)
    """PDQ hashes of lower quality are not compared; higher is stricter. PDQ's authors discard 49 and less."""
    control_margin: float = Field(default=0.05, ge=0, le=1)
    """When the base alone comes this near to the finding's similarity, the finding is explained by
    the base: labelled, and not counted. Higher explains more."""
    control_margin_pdq: int = Field(default=10, ge=0, le=256)
    """The same for PDQ distances, in bits of 256."""
    control_margin_phash: int = Field(default=2, ge=0, le=64)
    """The same for pHash distances, in bits of 64."""
    min_others: int = Field(default=19, ge=1)
    """Wrong checkpoints that a p-value takes: other places scanned with the same recipe. 19 is the fewest
    with which it can fall to 0.05; with fewer a finding is "not calibrated". Higher is stricter."""
    flood_cap: int = Field(default=1000, ge=1)
    """A reference that matches more checkpoints than this is taken for noise, such as a template or a
    border, and quarantined: its findings become suppressed leads, and it is named in the summary."""
    control_margin_phash256: int = Field(default=10, ge=0, le=256)
    """The same for 256-bit pHash, in bits of 256."""
    pixels: Literal["matched", "all", "never"] = "matched"
    """Whose pixels are kept after matching, encrypted; "never" stores none, not even before."""
    fail_on: Literal["low", "medium", "high", "critical"] = "high"
    """Severity from which findings make the exit code 1."""

    retention: RetentionSettings = RetentionSettings()
    review: ReviewSettings = ReviewSettings()
    notices: NoticeSettings = NoticeSettings()

    @model_validator(mode="after")
    def _normalised_against_something(self) -> Self:
        ladders = {"ladder": self.ladder, **{f"sets.{name}": one for name, one in self.sets.items()}}
        for name, ladder in ladders.items():
            if self.background is None and (
                ladder.sscd.normalised_high,
                ladder.thumbnail.normalised_high,
            ) != (
                None,
                None,
            ):
                raise ValueError(
                    f"{name}: normalised_high needs a set to normalise against; name it as background"
                )
        return self

    @property
    def fail_severity(self) -> Severity:
        return Severity[self.fail_on.upper()]

    def ladder_of(self, set_name: str) -> Ladder:
        return self.sets.get(set_name, self.ladder)
