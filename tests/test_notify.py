"""`leaksweep notify`, and what a sweep tells at its end: it never changes the sweep's own exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes_home import run_of
from fakes_receiver import receiver
from fakes_swept import SETTINGS, Swept, swept_home

from leaksweep import noticing, stages
from leaksweep.cli import main
from leaksweep.commands.stages import finish
from leaksweep.reporting import read_report
from leaksweep.summaries import Summary
from reports.notices.webhook import SECRET
from reports.report import Report

Call = Callable[..., int]
SHARED = "a secret of some length"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return swept_home(folder / "home", names=("cats",))


@pytest.fixture
def call(swept: Swept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET, SHARED)
    recipe = ("--set", "recipe.descriptor=thumbnail")
    return lambda *argv: main([*argv, *recipe, "--home", str(swept.root)])


def test_a_trial_arrives_signed_and_says_nothing_of_any_run(call, capsys):
    with receiver() as hook:
        assert call("notify", "--test", "--set", f"reports.notices.webhook_url={hook.url}") == 0
    assert capsys.readouterr().out == "notify: webhook was told\n"
    (sent,) = hook.sent
    assert json.loads(sent.body)["event"] == "test"
    assert sent.headers["x-leaksweep-signature"].startswith("t=")


def test_the_last_run_is_told_again_under_the_same_key(call, tmp_path, capsys):
    metrics = tmp_path / "leaksweep.prom"
    with receiver() as hook:
        told = ("--set", f"reports.notices.webhook_url={hook.url}")
        assert call("notify", *told, "--set", f"reports.notices.prometheus_file={metrics}", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {
            "prometheus": {"told": True, "error": None},
            "webhook": {"told": True, "error": None},
            "exit_code": 0,
        }
        assert call("notify", *told) == 0
    first, again = hook.sent
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert json.loads(first.body)["run"] == 1
    assert "leaksweep_run_number 1.0" in metrics.read_text("utf-8")


def test_one_that_cannot_be_told_does_not_keep_the_other_from_it(call, tmp_path, capsys):
    metrics = tmp_path / "leaksweep.prom"
    with receiver([404]) as hook:
        told = ("--set", f"reports.notices.webhook_url={hook.url}")
        assert call("notify", *told, "--set", f"reports.notices.prometheus_file={metrics}") == 2
    said = capsys.readouterr().out
    assert "prometheus was told" in said
    assert "webhook was not told: 127.0.0.1 refused the notice: status 404" in said
    assert "T0KEN" not in said
    assert metrics.exists()


def test_without_a_secret_nothing_is_sent(call, monkeypatch, capsys):
    monkeypatch.delenv(SECRET)
    with receiver() as hook:
        assert call("notify", "--test", "--set", f"reports.notices.webhook_url={hook.url}") == 2
    assert f"{SECRET} is not set" in capsys.readouterr().out
    assert hook.sent == []


@pytest.mark.parametrize(
    ("argv", "words"), [(["notify"], "nobody is to be told"), (["notify", "--test"], "no webhook is set")]
)
def test_with_nobody_to_tell_the_call_is_wrong(call, capsys, argv, words):
    assert call(*argv) == 4
    assert words in capsys.readouterr().err


@pytest.fixture
def short_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose stages are done: what is tested is its end."""
    for name in ("plan", "scan", "match", "retain"):
        monkeypatch.setattr(
            stages, name, lambda run, name=name: Summary(stage=name, exit_code=0, content={}, lines=())
        )
    monkeypatch.setattr(
        "leaksweep.crawling.crawl",
        lambda run, limit: Summary(stage="crawl", exit_code=0, content={}, lines=()),
    )


@pytest.mark.usefixtures("short_sweep")
def test_a_sweep_that_cannot_tell_keeps_its_exit_code_and_says_so(swept, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET, SHARED)
    with receiver([410]) as hook:
        run = run_of(swept.root, **SETTINGS, reports__notices__webhook_url=hook.url)
        loud = replace(run, quiet=False)
        assert finish(loud, stages.sweep(loud, out=tmp_path / "report")) == 1
        assert "notify: webhook was not told: 127.0.0.1 refused" in capsys.readouterr().out
        assert finish(run, stages.sweep(run, out=tmp_path / "report")) == 1
    said = capsys.readouterr().out
    assert "report: findings:" in said
    assert "notify: webhook was not told" in said
    assert len(hook.sent) == 2


@pytest.mark.usefixtures("short_sweep")
def test_a_sweep_with_nobody_to_tell_says_nothing_of_it(swept, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    run = run_of(swept.root, **SETTINGS)
    assert not noticing.wanted(run)
    assert finish(run, stages.sweep(run, out=tmp_path / "report")) == 1
    assert "notify" not in capsys.readouterr().out


@pytest.mark.usefixtures("short_sweep")
def test_a_sweep_tells_of_its_report_without_reading_it_again(swept, monkeypatch, tmp_path):
    reads: list[Report] = []

    def counting(*args: Any, **kwargs: Any) -> Report:
        reads.append(read_report(*args, **kwargs))
        return reads[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leaksweep.reporting.read_report", counting)
    file = tmp_path / "leaksweep.prom"
    run = run_of(swept.root, **SETTINGS, reports__notices__prometheus_file=str(file))
    assert finish(run, stages.sweep(run, out=tmp_path / "report", fail_on="critical")) in (0, 1)
    assert len(reads) == 1
    assert f"leaksweep_exit_code {float(reads[0].exit_code)}" in file.read_text()


def test_a_receiver_that_is_away_is_waited_for(swept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET, SHARED)
    waits: list[float] = []
    with receiver([503, 503, 204]) as hook:
        run = run_of(swept.root, **SETTINGS, reports__notices__webhook_url=hook.url)
        assert noticing.tell(run, sleep=waits.append).exit_code == 0
    assert (len(hook.sent), len(waits)) == (3, 2)
