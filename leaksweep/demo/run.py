"""The demo from end to end: stock and serve a hub, sweep it twice, and say what came back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from transformers.utils import logging as transformers_logging

from extraction.descriptors import open_descriptor
from leaksweep import stages
from leaksweep.demo.settings import BASELINE, write_settings
from leaksweep.demo.truth import Truth, read_truth, table, write_truth
from leaksweep.home import Home
from leaksweep.hub import LocalHub
from leaksweep.run import Run
from leaksweep.settings import load
from leaksweep.stores import opened
from leaksweep.summaries import INCOMPLETE, Summary
from leaksweep.zoo.catalogue import DECOYS, picture, planted
from leaksweep.zoo.stock import stock

PARTS = ("hub", "pictures", "home", "baseline", "report", "config.toml")
"""All that the demo writes into its folder, and clears away when it starts again."""


def run_demo(run: Run, out: Path) -> int:
    """Run the demo in the folder `out`; returns the exit code: 2 when a stage failed, else 0.

    Findings are what the demo is there to show, so they do not make it fail.

    Raises:
        CrawlError, ExtractionError, ScanError, ReportError: a stage cannot be run at all.
    """
    started = time.monotonic()
    transformers_logging.disable_progress_bar()
    _clear(out)
    run.say("Serving a tiny zoo of truly trained checkpoints on this machine ...")
    with LocalHub(stock(out / "hub")) as hub:
        config = write_settings(out / "config.toml", hub.url, hub.civitai_url, out / "home")
        _write_pictures(out / "pictures")
        run.say("\nBaseline: the tuned models alone, plain classifier-free guidance, equal forwards")
        baseline = _sweep(run, config, {**BASELINE, "home": str(out / "baseline")}, out)
        run.say("\nleaksweep: extrapolated guidance, density clustering, control")
        ours = _sweep(run, config, {}, out, report=out / "report")
    unfinished = any(summary.exit_code == INCOMPLETE for summary in (*baseline[1], *ours[1]))
    truth = read_truth(ours[0], baseline[0])
    write_truth(truth, out / "report" / "truth.csv")
    _finish(run, truth, out, time.monotonic() - started)
    return INCOMPLETE if unfinished else 0


def _sweep(
    run: Run, config: Path, overrides: Mapping[str, object], out: Path, report: Path | None = None
) -> tuple[Run, list[Summary]]:
    """One sweep with the demo's settings and its reference sets: the run, and what its stages said."""
    loaded = load(config, overrides)
    own = Run(
        loaded=loaded,
        home=Home(loaded.settings.home, loaded.settings.database),
        as_json=run.as_json,
        quiet=run.quiet,
    )
    own.home.prepare()
    _add_references(own, out / "pictures")
    summaries = []
    for summary in stages.sweep(own, out=report):
        run.say(summary.text())
        summaries.append(summary)
    return own, summaries


def _add_references(run: Run, pictures: Path) -> None:
    settings = run.settings
    describe = open_descriptor(settings.recipe.descriptor, threads=settings.scanner.threads_per_worker)
    with opened(run) as stores:
        for name in ("planted", "decoys"):
            added = stores.references.add_folder(name, pictures / name, [describe])
            run.say(f"refs: {name}: {added.entries} references")


def _write_pictures(folder: Path) -> None:
    """The planted pictures and the decoys, as an operator would have them: folders of files."""
    for name, pictures in {"planted": [name for _, name in planted()], "decoys": DECOYS}.items():
        (folder / name).mkdir(parents=True)
        for one in pictures:
            picture(one).save(folder / name / f"{one}.png")


def _clear(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _finish(run: Run, truth: list[Truth], out: Path, seconds: float) -> None:
    page = (out / "report" / "report.html").resolve()
    summary = {
        "truth": [row.as_dict() for row in truth],
        "report": str(page),
        "seconds": round(seconds, 1),
    }
    text = (
        f"\nWhat was in the checkpoints, and what came back:\n\n{table(truth)}\n\n"
        f"{seconds:.0f} s. The report: {page}\n"
        f"Go on from here: leaksweep status --config {out / 'config.toml'}"
    )
    run.finish(summary, text)
