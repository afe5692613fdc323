from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

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
    Skip,
    SkipReason,
    Training,
)
from extraction.recipe import Recipe
from scanner.job import Job
from scanner.plan import plan

RECIPE = Recipe(images_per_picture=10, pictures=4, max_images=60)
BASES = {"base/one", "base/two"}


def base(repo: str) -> Base | None:
    return Base(repo=repo, revision="r", family="sd1", files=()) if repo in BASES else None


def checkpoint(
    repo: str = "ann/cats", *, base: str | None = "base/one", sha256: str | None = None, **changes: object
) -> Checkpoint:
    claim = BaseClaim(repo=base, family="sd1", source="card", grade=Grade.DECLARED)
    made = Checkpoint(
        hub=Hub.HUGGINGFACE,
        repo=repo,
        revision="r",
        path="w.safetensors",
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(RemoteFile(path="w.safetensors", url="http://hub.test/w", size=1, sha256=sha256),),
        claims=(claim,),
    )
    return replace(made, **changes)


def planned(
    *checkpoints: Checkpoint, done: frozenset[str] = frozenset(), **options: object
) -> list[Job | Skip]:
    return list(plan(checkpoints, RECIPE, base, done, **options))


def test_a_job_has_the_best_prompt_and_the_budget_of_its_training_set():
    prompts = (
        Prompt(text="sks cat", origin=PromptOrigin.INSTANCE_PROMPT),
        Prompt(text="x", origin=PromptOrigin.KOHYA_TAGS),
    )
    [job] = planned(checkpoint(prompts=prompts, training=Training(images=3)))
    assert isinstance(job, Job)
    assert job.prompt == prompts[0]
    assert (job.generations, job.pictures, job.base_repo) == (30, 3, "base/one")


def test_without_a_prompt_and_a_count_the_recipe_decides():
    [job] = planned(checkpoint())
    assert isinstance(job, Job)
    assert job.prompt == Prompt(text="", origin=PromptOrigin.NONE)
    assert (job.generations, job.pictures) == (40, 4)


def test_no_known_base():
    [skip] = planned(checkpoint(base=None))
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.UNKNOWN_BASE
    assert (skip.repo, skip.path, skip.kind) == ("ann/cats", "w.safetensors", Kind.LORA)


def test_a_base_that_the_crawl_could_not_find_says_why():
    gated = Skip(
        hub=Hub.HUGGINGFACE,
        repo="base/gone",
        revision="",
        path="",
        reason=SkipReason.GATED,
        detail="ask for access",
    )
    [skip] = planned(checkpoint(base="base/gone"), missing={"base/gone": gated})
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.MISSING_BASE
    assert skip.detail == "its base base/gone (by card): gated, ask for access"
    [skip] = planned(checkpoint(base="base/gone"))
    assert isinstance(skip, Skip)
    assert "crawl again" in skip.detail


def test_a_lora_on_a_fine_tune_that_cannot_be_loaded_is_held_against_what_stands_behind_it():
    between = checkpoint("bob/mix", base="base/two", kind=Kind.FULL)
    rows = planned(checkpoint("ann/lora", base="bob/mix"), between)
    assert {row.checkpoint.repo: row.base_repo for row in rows if isinstance(row, Job)} == {
        "ann/lora": "base/two",
        "bob/mix": "base/two",
    }


def test_a_cycle_of_bases_is_a_missing_base():
    rows = planned(checkpoint("ann/a", base="bob/b"), checkpoint("bob/b", base="ann/a"))
    assert [row.reason for row in rows if isinstance(row, Skip)] == [SkipReason.MISSING_BASE] * 2


def test_a_base_model_is_no_fine_tune():
    itself = checkpoint("base/one", base="base/one", kind=Kind.FULL)
    unclaimed = checkpoint("base/two", base=None, kind=Kind.FULL)
    tuned = checkpoint("ann/tuned", base="base/two", kind=Kind.FULL)
    rows = {row.repo: row.reason for row in planned(itself, unclaimed, tuned) if isinstance(row, Skip)}
    assert rows == {"base/one": SkipReason.BASE_MODEL, "base/two": SkipReason.BASE_MODEL}


def test_a_fine_tune_that_others_build_on_is_still_scanned():
    middle = checkpoint("base/two", base="base/one", kind=Kind.FULL)
    rows = planned(middle, checkpoint("ann/tuned", base="base/two"))
    assert {row.checkpoint.repo for row in rows if isinstance(row, Job)} == {"base/two", "ann/tuned"}


def test_a_lora_inside_the_base_repository_is_scanned():
    [row] = planned(checkpoint("base/one", base="base/one"))
    assert isinstance(row, Job)


def test_the_same_file_is_scanned_where_most_is_known():
    prompt = Prompt(text="sks cat", origin=PromptOrigin.INSTANCE_PROMPT)
    known = checkpoint("zoe/cats", sha256="a" * 64, prompts=(prompt,))
    rows = planned(
        checkpoint("ann/copy", sha256="a" * 64), known, checkpoint("bob/copy", sha256="a" * 64, base=None)
    )
    [job] = [row for row in rows if isinstance(row, Job)]
    assert job.checkpoint == known
    skips = [row for row in rows if isinstance(row, Skip)]
    assert {skip.repo: skip.reason for skip in skips} == {
        "ann/copy": SkipReason.SAME_CONTENT,
        "bob/copy": SkipReason.SAME_CONTENT,
    }
    assert known.id in skips[0].detail


def test_a_file_that_was_scanned_is_not_scanned_again_at_a_better_place():
    scanned = checkpoint("zoe/cats", sha256="a" * 64)
    [job] = planned(scanned)
    assert isinstance(job, Job)
    prompt = Prompt(text="sks cat", origin=PromptOrigin.INSTANCE_PROMPT)
    better = checkpoint("ann/cats", sha256="a" * 64, prompts=(prompt,))
    [skip] = planned(scanned, better, done=frozenset({job.id}))
    assert isinstance(skip, Skip)
    assert (skip.repo, skip.reason) == ("ann/cats", SkipReason.SAME_CONTENT)


CHECKPOINTS = st.lists(
    st.builds(
        checkpoint,
        st.sampled_from([f"own/{name}" for name in "abcdefgh"] + sorted(BASES)),
        base=st.sampled_from([None, "base/one", "base/two", "base/gone", "own/a"]),
        sha256=st.sampled_from([None, "a" * 64, "b" * 64]),
        kind=st.sampled_from([Kind.FULL, Kind.LORA]),
    ),
    max_size=12,
    unique_by=lambda found: found.id,
)


@given(CHECKPOINTS, st.randoms(use_true_random=False), st.data())
def test_every_checkpoint_gets_one_row_or_is_done(checkpoints, random, data):
    rows = planned(*checkpoints)
    subjects = [
        row.checkpoint.id if isinstance(row, Job) else f"{row.hub}:{row.repo}@{row.revision}:{row.path}"
        for row in rows
    ]
    assert sorted(subjects) == sorted(found.id for found in checkpoints)

    jobs = [row for row in rows if isinstance(row, Job)]
    contents = Counter(job.checkpoint.sha256 or job.checkpoint.id for job in jobs)
    assert not contents or max(contents.values()) == 1
    groups = [job.base_repo for job in jobs]
    assert [base for base, _ in groupby(groups)] == list(dict.fromkeys(groups))

    shuffled = list(checkpoints)
    random.shuffle(shuffled)
    assert planned(*shuffled) == rows
    assert planned(*checkpoints, *checkpoints) == rows

    done = frozenset(job.id for job in jobs if data.draw(st.booleans()))
    assert planned(*checkpoints, done=done) == [
        row for row in rows if not (isinstance(row, Job) and row.id in done)
    ]


def test_a_selection_leaves_out_and_changes_nothing() -> None:
    """What is not selected still decides where weights are scanned, and what is a base model."""
    same = checkpoint("ann/cats", sha256="ab" * 32), checkpoint("bob/cats", sha256="ab" * 32)
    model = checkpoint("base/one", base=None, kind=Kind.FULL)
    everything = [*same, model, checkpoint("eve/dogs"), checkpoint("joe/cars", base=None)]
    whole = planned(*everything)
    assert planned(*everything, selected={one.sha256 or one.id for one in everything}) == whole
    assert planned(*everything, selected=set()) == []
    [skip, job] = planned(*everything, selected={"ab" * 32})
    assert isinstance(job, Job)
    assert (job.checkpoint.repo, skip.reason) == ("ann/cats", SkipReason.SAME_CONTENT)
    [skip] = planned(*everything, selected={model.id})
    assert skip.reason is SkipReason.BASE_MODEL
