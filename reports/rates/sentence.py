"""What a rate means and what it does not, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from reports.export.text import counted, shortened, visible
from reports.rates.estimate import Estimate
from reports.rates.leakage import UNKNOWN
from reports.rates.rate import NO_REFERENCES, Rate, RateTable
from reports.rates.units import Fate
from reports.rates.words import at_least, per_cent, span

_KINDS = {
    "full": "full",
    "lora": "LoRA",
    "dora": "DoRA",
    "lokr": "LoKr",
    "loha": "LoHa",
    "difference": "difference",
    "textual_inversion": "textual-inversion",
}
_FAMILIES = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sd3": "Stable Diffusion 3",
    "sdxl": "SDXL",
}
_HUBS = {"huggingface": "Hugging Face", "civitai": "Civitai"}
_LONGEST = 60


def sentence(rate: Rate, table: RateTable) -> str:
    """Return one to four sentences: the rate, what is missing, the correction, and where it ends."""
    name = described(rate.group)
    if rate.estimate is None and rate.scanned:
        return f"{NO_REFERENCES[0].upper()}{NO_REFERENCES[1:]}, so nothing can be said of {name}."
    if rate.estimate is None:
        left = f"; {_left_out(rate)}" if rate.missing else ""
        return f"None of the {name} was scanned, so there is no rate{left}."
    parts = [_found(rate, rate.estimate, table, name), _bounded(rate), _corrected(rate), _limits(rate, table)]
    return " ".join(part for part in parts if part)


def described(group: Mapping[str, str]) -> str:
    """Return a group as a noun, such as "LoRA checkpoints of SDXL on Civitai"; hostile labels are defused."""
    kind, family, hub = (group.get(name) for name in ("kind", "family", "hub"))
    words = "checkpoints"
    if kind is not None:
        words = (
            "checkpoints of unknown kind" if kind == UNKNOWN else f"{_plain(_KINDS.get(kind, kind))} {words}"
        )
    if family is not None:
        words += " of unknown family" if family == UNKNOWN else f" of {_plain(_FAMILIES.get(family, family))}"
    if hub is not None:
        words += f" on {_plain(_HUBS.get(hub, hub))}"
    for name, known, unknown in (
        ("age", "that are {} old", "of unknown age"),
        ("popularity", "with {} downloads", "with an unknown number of downloads"),
        ("year", "made in {}", "made in an unknown year"),
    ):
        if (label := group.get(name)) is not None:
            words += f" {unknown if label == UNKNOWN else known.format(_plain(label))}"
    return words


def _found(rate: Rate, estimate: Estimate, table: RateTable, name: str) -> str:
    number = {0: "none", rate.scanned: f"all {rate.scanned:,}"}.get(rate.leaked, f"{rate.leaked:,}")
    if rate.scanned == 1:
        number = "1" if rate.leaked else "none"
        name = name.replace("checkpoints", "checkpoint", 1)
    interval = f"95 % interval {span(estimate.low, estimate.high)}"
    gave = f"gave back at least one picture of the reference sets {at_least(table.severity)}"
    if table.sample is None:
        alike = "" if estimate.clusters is None else f" over {counted(estimate.clusters, 'owner', 'owners')}"
        share = f"{number} ({per_cent(estimate.value)} %, {interval}{alike}) {gave}"
        return f"Of {rate.scanned:,} scanned {name}, {share}."
    sure = f"{interval}, as of {estimate.effective_size:,.0f} drawn at random"
    if estimate.effective_size == inf:
        sure = "which are all that there are, so no interval is left"
    return (
        f'Of {rate.scanned:,} scanned {name} of the sample "{_plain(table.sample)}", {number} {gave}; '
        f"weighted to the {estimate.population:,.0f} that they stand for, this is "
        f"{per_cent(estimate.value)} % ({sure})."
    )


def _bounded(rate: Rate) -> str:
    if not rate.missing or rate.bounds is None:
        return ""
    which = f"{rate.missing:,} more" if rate.missing > 1 else "1 more"
    return (
        f"{_capital(_left_out(rate))}: if none of these {which} leaked, or all, the rate would be "
        f"{per_cent(rate.bounds[0])} or {per_cent(rate.bounds[1])} %."
    )


def _left_out(rate: Rate) -> str:
    words = {
        Fate.SKIPPED: ("was left out", "were left out"),
        Fate.FAILED: ("failed", "failed"),
        Fate.OPEN: ("is open", "are open"),
    }
    parts = [counted(rate.fates[fate], *both) for fate, both in words.items() if rate.fates[fate]]
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


def _corrected(rate: Rate) -> str:
    one = rate.correction
    if isinstance(one, str):
        return f"There is no correction for errors of the match: {one}."
    false = one.false_findings
    wrong = (
        f"the match's false findings ({per_cent(false.value)} % of clean checkpoints, 95 % interval "
        f"{span(*false.interval)}; {false.source})"
    )
    clipped = f"; the formula gave {100 * one.raw:.1f} %, which cannot be" if one.clipped else ""
    share = f"{per_cent(one.value)} % (95 % interval {span(one.low, one.high)}{clipped})"
    if one.sensitivity is None:
        return (
            f"Without {wrong}, it is {share}; how many leaks the method misses was not given, so this is a "
            "lower bound of those that leak."
        )
    given = one.sensitivity
    within = "" if given.low is None or given.high is None else f", {span(given.low, given.high)}"
    recall = (
        f"a method that finds {per_cent(given.value)} % of those that leak{within} ({_plain(given.source)})"
    )
    return f"Corrected for {wrong} and for {recall}, {share} leak."


def _limits(rate: Rate, table: RateTable) -> str:
    strata = ""
    if table.unreached and not rate.group:
        strata = f" and of {table.unreached:,.0f} checkpoints in strata of which none was scanned"
    return f"The rate says nothing of pictures that no set holds{strata}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(label: str) -> str:
    return visible(shortened(label, _LONGEST))
