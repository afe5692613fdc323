"""`leaksweep calibrate`: thresholds from the data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.operator_name import operator
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError


@command
def calibrate(
    run: Run,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Pictures of the sort that is looked for; those of one subfolder show one thing.",
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Tell how often reviewers confirmed each rule's findings.")
    ] = False,
    critical: Annotated[
        float, typer.Option(min=0, max=1, help="Most false pairs for one measure that is critical alone.")
    ] = 1e-4,
    high: Annotated[float, typer.Option(min=0, max=1, help="The same for high.")] = 1e-3,
    low: Annotated[float, typer.Option(min=0, max=1, help="The same for a lead.")] = 1e-2,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the ladder as TOML for config.toml.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the curves, as .svg or .png.")
    ] = None,
) -> int:
    """Measure how far copies and strangers lie apart, and choose the ladder's numbers by it."""
    if folder is None and not labels:
        raise SettingsError("calibrate: name a FOLDER of pictures, or ask for --labels")
    if not critical <= high <= low:
        raise SettingsError("calibrate: --critical must not be above --high, nor --high above --low")
    if plot is not None and plot.suffix not in {".svg", ".png"}:
        raise SettingsError(f"{plot}: curves are drawn as .svg or .png; give a file name that ends so")
    found: dict[str, object] = {}
    said = []
    if folder is not None:
        content, text = _measure(run, folder, (critical, high, low), write, plot)
        found |= content
        said.append(text)
    if labels:
        content, text = _labels(run)
        found |= content
        said.append(text)
    run.finish(found, "\n\n".join(said))
    return 0


def _measure(
    run: Run, folder: Path, rates: tuple[float, float, float], write: Path | None, plot: Path | None
) -> tuple[dict[str, object], str]:
    from leaksweep.config_text import section_text
    from leaksweep.progress import counter
    from leaksweep.stages import open_descriptor_of
    from leaksweep.stores import opened
    from reports.calibration import told
    from reports.calibration.choose import Targets, choose
    from reports.calibration.pairs import measure_folder
    from reports.export.files import whole_file, write_atomically
    from reports.matching.hashes import open_hasher
    from reports.settings import Ladder

    reports = run.settings.reports
    with counter("pictures", run.no_bar, "measuring") as progress:
        measured = measure_folder(
            folder,
            open_descriptor_of(run.settings),
            open_hasher(),
            min_pdq_quality=reports.min_pdq_quality,
            progress=progress,
        )
    targets = Targets(critical=rates[0], high=rates[1], low=rates[2])
    chosen = choose(measured, targets, Ladder())
    if write is not None:
        write_atomically(write, section_text("reports.ladder", chosen.ladder).encode())
    if plot is not None:
        with whole_file(plot) as file:
            told.plot(chosen.curves).savefig(file, format=plot.suffix[1:], dpi=150)
    with opened(run) as stores:
        detail = {"pictures": len(measured.names), "descriptor": measured.descriptor}
        stores.audit.append(operator(), "calibrate", folder.name, detail)
    text = told.text(measured, chosen)
    if write is not None:
        text += f"\n{write}: put it in place of [reports.ladder] in your settings"
    return told.content(measured, chosen), text


def _labels(run: Run) -> tuple[dict[str, object], str]:
    from leaksweep.stores import opened
    from reports.calibration.labels import precision_by

    with opened(run) as stores:
        two = run.settings.reports.review.two_person
        found = precision_by(stores.findings.findings(), stores.labels.for_calibration(two_person=two))
    lines = ["findings that reviewers confirmed, of those that they settled:"]
    for name, share in found.items():
        low, high = share.interval or (0.0, 1.0)
        lines.append(f"  {name}: {share.count} of {share.of} (95 % interval {low:.0%} to {high:.0%})")
    if not found:
        lines = ["reviewers have settled no finding yet: leaksweep review"]
    content = {
        name: {"count": one.count, "of": one.of, "interval": one.interval} for name, one in found.items()
    }
    return {"labels": content}, "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add `calibrate`."""
    app.command(
        epilog=examples(
            "leaksweep calibrate photographs/",
            "leaksweep calibrate photographs/ --write ladder.toml --plot curves.svg",
            "leaksweep calibrate --labels",
        )
    )(calibrate)
