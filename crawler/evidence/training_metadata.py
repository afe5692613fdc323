"""What training tools write into a header of how long and on how much they trained.

kohya's sd-scripts (`ss_*`, library/train_util.py), the model metadata standard (`modelspec.*`), OneTrainer
(`ot_config`), ai-toolkit (`training_info`) and diffusers (`lora_adapter_metadata`). All of it is text from
strangers, copied from file to file by merging tools: evidence, never instructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crawler.evidence.datasets import DataSet, read_dataset
from crawler.evidence.facts import Training
from crawler.evidence.plain_text import shorter_side, table, whole


def training(metadata: Mapping[str, Any], dataset: DataSet | None = None) -> Training:
    """Size and length of the training, each with the key that told it.

    Args:
        dataset: the same metadata's, where it has been read already.
    """
    dataset = dataset or read_dataset(metadata)
    info, config = table(metadata.get("training_info")), table(metadata.get("ot_config"))
    size = metadata.get("ss_resolution")
    found = {
        "images": first((dataset.pictures, dataset.counted_in)),
        "steps": first(
            (whole(metadata.get("ss_steps")), "ss_steps"),
            (whole(metadata.get("ss_max_train_steps")), "ss_max_train_steps"),
            (whole(info.get("step")), "training_info"),
        ),
        "epochs": first(
            (whole(metadata.get("ss_epoch")), "ss_epoch"),
            (whole(metadata.get("ss_num_epochs")), "ss_num_epochs"),
            (whole(info.get("epoch")), "training_info"),
            (whole(config.get("epochs")), "ot_config"),
        ),
        "repeats": first((dataset.repeats, dataset.counted_in)),
        "resolution": first(
            (shorter_side(size), "ss_resolution"),
            (shorter_side(dataset.resolution), "ss_datasets"),
            (shorter_side(metadata.get("modelspec.resolution")), "modelspec.resolution"),
            (shorter_side(config.get("resolution")), "ot_config"),
        ),
        "batch": _batch(metadata, config),
        "rank": _rank(metadata, config),
    }
    return with_sources({name: fact for name, fact in found.items() if fact}, "header ")


Fact = tuple[Any, str]
"""A value and the key that told it."""


def first(*facts: tuple[Any, str]) -> Fact | None:
    """The first that is known."""
    return next((fact for fact in facts if fact[0] is not None), None)


def with_sources(facts: Mapping[str, Fact], prefix: str) -> Training:
    """The record of fields and of who told each."""
    values = {name: value for name, (value, _) in facts.items()}
    return Training(**values, sources=tuple((name, prefix + key) for name, (_, key) in facts.items()))


def merge_training(*known: Training) -> Training:
    """Each field from the first that knows it, with its source."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for one in known:
        told = dict(one.sources)
        for name in Training.__dataclass_fields__:
            value = getattr(one, name)
            if name != "sources" and value is not None and name not in values:
                values[name] = value
                sources |= {name: told[name]} if name in told else {}
    return Training(**values, sources=tuple(sources.items()))


def _batch(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> Fact | None:
    """Pictures in a step: kohya's total counts all devices, the accumulated steps come on top."""
    accumulated = whole(metadata.get("ss_gradient_accumulation_steps")) or 1
    for key in ("ss_total_batch_size", "ss_batch_size_per_device"):
        if each := whole(metadata.get(key)):
            return each * accumulated, key
    if each := whole(config.get("batch_size")):
        return each * (whole(config.get("gradient_accumulation_steps")) or 1), "ot_config"
    return None


def _rank(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> Fact | None:
    adapter = table(metadata.get("lora_adapter_metadata"))
    ranks = sorted(filter(None, (whole(adapter[key]) for key in adapter if key.rsplit(".", 1)[-1] == "r")))
    return first(
        (whole(metadata.get("ss_network_dim")), "ss_network_dim"),
        (_last(ranks), "lora_adapter_metadata"),
        (whole(config.get("lora_rank")), "ot_config"),
    )


def _last(numbers: Sequence[int]) -> int | None:
    return numbers[-1] if numbers else None
