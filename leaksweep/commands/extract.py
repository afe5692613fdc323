"""`leaksweep extract`: one checkpoint, before or after it is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError

if TYPE_CHECKING:
    from leaksweep.single import Extracted


@command
def extract(
    run: Run,
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="A LoRA or full .safetensors file, or a diffusers folder."),
    ],
    base: Annotated[
        Path, typer.Option("--base", metavar="FOLDER", help="Diffusers folder of its base model.")
    ],
    prompt: Annotated[
        str, typer.Option("--prompt", help="Caption of the training pictures, as far as it is known.")
    ] = "",
    images: Annotated[
        int,
        typer.Option(
            "--images",
            min=1,
            max=1000,
            metavar="N",
            help="Training pictures to look for; each costs recipe.images_per_picture generations.",
        ),
    ] = 10,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the pictures; default: none is written."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FOLDER", help="The training pictures: tells which came back."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=-1, max=1, help="Similarity that counts; default: the ladder's high."
        ),
    ] = None,
) -> int:
    """Take pictures out of one checkpoint on this machine: no hub and no database needed.

    With --against, the exit code is 1 when a training picture came back.
    """
    for option, path in (("CHECKPOINT", checkpoint), ("--base", base), ("--against", against)):
        if path is not None and not path.exists():
            raise SettingsError(f"{option} {path}: there is no such file or folder")
    if not base.is_dir():
        raise SettingsError(f"--base {base}: must be a diffusers folder, with model_index.json in it")

    from leaksweep.progress import counter
    from leaksweep.single import extract_one, write_pictures

    with counter("pictures", run.no_bar, "generating") as progress:
        found = extract_one(
            checkpoint,
            base,
            prompt,
            pictures=images,
            settings=run.settings,
            against=against,
            threshold=threshold,
            progress=progress,
        )
    written = write_pictures(found, out) if out else []
    run.finish({**found.to_json(), "out": out}, _text(found, out, len(written)))
    return 1 if found.came_back and found.came_back.found else 0


def _text(found: Extracted, out: Path | None, written: int) -> str:
    lines = [
        f"{len(found.extractions)} extractions from {found.measures['generations']} generations "
        f"(recipe {found.recipe_id}, {found.descriptor})"
    ]
    known = found.came_back
    if known:
        low, high = known.interval
        lines += [
            f"AS {known.average_similarity:.3f} (95 % over its pictures: {low:.3f} to {high:.3f})",
            f"A-ESR above {known.threshold:g}: {known.success_rate:.3f} "
            f"({len(known.found)} of {len(known.names)} came back)",
        ]
        for name, value, rank in zip(known.names, known.best, known.nearest, strict=True):
            word = "came back" if value > known.threshold else "did not come back"
            lines.append(f"  {name}: {word}, {value:.3f}" + ("" if rank is None else f" (extraction {rank})"))
    lines.append(f"{written} files in {out}" if out else "no picture was written; --out DIR writes them")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add `extract`."""
    app.command(
        epilog=examples(
            'leaksweep extract lora.safetensors --base sd15/ --prompt "a photo of sks dog" --out found/',
            'leaksweep extract tuned/ --base sd15/ --prompt "a photo of sks dog" --against training/',
        )
    )(extract)
