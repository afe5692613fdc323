"""A job of every family and kind goes from the catalog's row to pictures, by the worker that a sweep runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from fakes_checkpoints import PIPELINES, adapter, base, fetched, listed, published

from crawler.checkpoint import (
    Base,
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    Prompt,
    PromptOrigin,
    RemoteFile,
)
from crawler.evidence.headers import local_header
from crawler.evidence.tensor_names import families_of, kind_of
from crawler.huggingface.folder import fine_tune_files
from extraction.families import load_pair
from extraction.pair import Pair
from extraction.recipe import Recipe
from scanner.job import Job, Outcome, State
from scanner.plan import plan
from scanner.settings import ScannerSettings, TriageSettings
from scanner.worker import Worker

CPU = torch.device("cpu")
REPO = "zoo/base"
RECIPE = Recipe(descriptor="thumbnail", steps=2, size=32, rounds=1, pictures=2, images_per_picture=2)
ADAPTERS = [Kind.LORA, Kind.DORA, Kind.LOHA, Kind.LOKR, Kind.DIFFERENCE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A base model of one family."""

    family: str
    folder: Path
    pair: Pair
    worker: Worker

    def scan(self, kind: Kind, weights: Path, path: str, *prompts: str) -> tuple[Job, Outcome]:
        (job,) = plan([self._row(kind, path, prompts)], RECIPE, self._base, frozenset())
        assert isinstance(job, Job)
        return job, self.worker.run(job, self.folder, weights)

    def _row(self, kind: Kind, path: str, prompts: tuple[str, ...]) -> Checkpoint:
        layout = Layout.FILE if path else Layout.FOLDER
        return Checkpoint(
            hub=Hub.HUGGINGFACE,
            repo="ann/tune",
            revision="r",
            path=path,
            kind=kind,
            layout=layout,
            family=self.family,
            files=(RemoteFile(path=path, url="http://hub.test/w", size=1, sha256=None),),
            claims=(BaseClaim(repo=REPO, family=self.family, source="card", grade=Grade.DECLARED),),
            prompts=tuple(Prompt(text=text, origin=PromptOrigin.INSTANCE_PROMPT) for text in prompts),
        )

    def _base(self, repo: str) -> Base:
        return Base(repo=repo, revision="r", family=self.family, files=())


@pytest.fixture(scope="module", params=list(PIPELINES))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    family = request.param
    folder = base(family, tmp_path_factory.mktemp(family))
    pair = load_pair(folder, device=CPU, dtype=torch.float32)
    assert pair.family == family
    # A threshold of nothing lets all through, and has the rung climbed.
    triage = TriageSettings(mode="skip", spectrum_below=0.0)
    return Subject(
        family=family,
        folder=folder,
        pair=pair,
        worker=Worker("thumbnail", ScannerSettings(device="cpu", batch=4, triage=triage)),
    )


def well(job: Job, outcome: Outcome) -> Outcome:
    assert outcome.state is State.DONE, outcome.detail
    assert outcome.extractions
    assert outcome.measures is not None
    assert outcome.measures["generations"] == job.generations == 4
    return outcome


def test_a_fine_tuned_folder(subject: Subject, tmp_path: Path):
    files = fine_tune_files(listed(published(subject.family, tmp_path, seed=1)), subject.family)
    outcome = well(*subject.scan(Kind.FULL, fetched(files, tmp_path / "tune"), "", "hills"))
    assert outcome.measures is not None
    assert outcome.measures["relative_change"] > 0.1


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter(subject: Subject, kind: Kind, tmp_path: Path):
    path = adapter(kind, subject.pair.original, tmp_path / "w.safetensors")
    tensors = local_header(path).tensors
    assert kind_of(tensors) is kind
    assert families_of(tensors) == () or subject.family in families_of(tensors)
    well(*subject.scan(kind, path, "w.safetensors", "hills"))


def test_a_textual_inversion_says_its_word(subject: Subject, tmp_path: Path):
    if not subject.pair.original.components[1:]:
        pytest.skip("its text encoder is a language model, which no textual inversion teaches")
    path = adapter(Kind.TEXTUAL_INVERSION, subject.pair.original, tmp_path / f"{'0' * 64}.safetensors")
    assert kind_of(local_header(path).tensors) is Kind.TEXTUAL_INVERSION
    outcome = well(*subject.scan(Kind.TEXTUAL_INVERSION, path, "dots.safetensors", "hills"))
    assert outcome.measures is not None
    assert outcome.measures["words"] == ["dots"]
    assert {extraction.prompt for extraction in outcome.extractions} == {"hills, dots"}
