"""The columns of the exported table of rates."""

from __future__ import annotations

from reports.export.columns import Column

RATES = (
    Column("by", "string", "What the row is grouped by, such as `family,kind`; empty for all checkpoints."),
    Column("hub", "string", "Null where the row is not grouped by it; likewise the next five."),
    Column("family", "string", "Model family, such as `sd1`; `unknown` where nothing tells."),
    Column("kind", "string", "`full`, `lora`, `dora`, `lokr`, `loha`, `textual_inversion`, `unknown`."),
    Column("age", "string", "Time from the repository's making to the report, in steps."),
    Column("popularity", "string", "Downloads of the repository, by powers of ten, such as `100-999`."),
    Column("year", "string", "In which the repository was made."),
    Column("severity", "string", "Least severity of a finding that makes a checkpoint leak."),
    Column("leaked", "int64", "Distinct scanned checkpoints with such a finding."),
    Column("scanned", "int64", "Distinct checkpoints that were scanned: the rate's denominator."),
    Column("skipped", "int64", "Left out for a reason that says nothing of whether they leak."),
    Column("skipped_by_reason", "string", "The same by reason, most frequent first, such as `gated 12`."),
    Column("outside", "int64", "Left out because they are no fine-tune of their own; in no denominator."),
    Column("failed", "int64", "Gave an error when they were scanned."),
    Column(
        "open", "int64", "Not yet done: to be scanned, to be matched, or of a sample and on no hub any more."
    ),
    Column("unplanned", "int64", "In the catalog, and no plan asked for them; in no denominator."),
    Column("rate", "double", "Share that leaks, 0 to 1: leaked / scanned, weighted where there is a sample."),
    Column("low", "double", "Lower end of the rate's 95 % interval."),
    Column("high", "double", "Upper end."),
    Column("method", "string", "How the interval was made."),
    Column(
        "effective_size",
        "double",
        "Independent ones that the interval is as wide as; null: all were scanned.",
    ),
    Column("kish_size", "double", "(sum of weights)² / sum of squared weights; scanned, without weights."),
    Column("clusters", "int64", "Owners among the scanned ones; null where they were not told apart."),
    Column("population", "double", "Contents that the scanned ones stand for: the sum of their weights."),
    Column("bound_low", "double", "The rate if none of the skipped, failed and open ones leaked."),
    Column("bound_high", "double", "The rate if all of these did."),
    Column("corrected", "double", "Share that leaks by Rogan and Gladen's formula, 0 to 1; null: see why."),
    Column("corrected_low", "double", "Lower end of its 95 % interval."),
    Column("corrected_high", "double", "Upper end."),
    Column("clipped", "double", "What the formula gave where that was below 0 or above 1; else null."),
    Column("not_corrected", "string", "Why there is no correction; null where there is one."),
    Column("false_positive_rate", "double", "Chance of a clean checkpoint to get a finding from the match."),
    Column("false_positive_low", "double", "Lower end of its 95 % interval."),
    Column("false_positive_high", "double", "Upper end."),
    Column("false_positive_source", "string", "How it was measured."),
    Column("sensitivity", "double", "Share of leaking checkpoints that the method finds; null: not given."),
    Column("sensitivity_low", "double", "Lower end of its interval, where one was given."),
    Column("sensitivity_high", "double", "Upper end."),
    Column("sensitivity_source", "string", "Where it was measured, in the operator's words."),
    Column("sample", "string", "Name of the sample whose weights were used; null without one."),
    Column("version", "string", "Of leaksweep."),
    Column("generated_at", "string", "When the rates were worked out, ISO 8601, UTC."),
    Column("run", "int64", "Number of the matching that they rest on; null: nothing was matched."),
    Column("recipe_id", "string", "Recipe of the last scan, 12 hex digits."),
    Column("sentence", "string", "The row in plain words."),
)
