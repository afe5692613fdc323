"""The demo's settings file: what differs from the defaults, and why."""

from __future__ import annotations

from pathlib import Path

from leaksweep.zoo.stock import BASE_REPO, CIVITAI_BASE

BASELINE = {
    "recipe.guidance": "classifier_free",
    "recipe.scale": 3.0,
    "recipe.guidance_from": 0.0,
    "recipe.likelihood_ratio": False,
    "recipe.rounds": 1,
}
"""Plain guidance on the tuned model alone: 24 forwards an image where ours takes 22, from the same seeds."""

TEMPLATE = """\
# Written by `leaksweep demo`. The hubs it names live only as long as the demo runs.
home = "{home}"

[crawler]
huggingface_url = "{huggingface}"
civitai_url = "{civitai}"
# The demo's own hub needs no waiting between requests.
civitai_interval_seconds = 0.0

[crawler.base_models]
# What a label of this Civitai stands for here.
"{label}" = "{base}"

[recipe]
# The zoo's pictures are 64 px: a thumbnail tells them apart better than SSCD does (docs/zoo.md).
descriptor = "thumbnail"
images_per_picture = 16
# What a repository without a training header is taken to hold.
pictures = 4

[scanner]
workers = 2
device = "cpu"
threads_per_worker = 1
batch = 24

[reports]
decoys = ["decoys"]
"""


def write_settings(path: Path, huggingface: str, civitai: str, home: Path) -> Path:
    """Write the file and return its path."""
    text = TEMPLATE.format(
        home=home.as_posix(), huggingface=huggingface, civitai=civitai, label=CIVITAI_BASE, base=BASE_REPO
    )
    path.write_text(text, encoding="utf-8")
    return path
