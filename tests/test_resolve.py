"""The resolver, chains and identities: no order of claims matters, proof overrules, nothing is invented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint import BaseClaim, Grade, Hub
from crawler.evidence.chain import MAX_DEPTH, chain
from crawler.evidence.identity import Identity, unknown_digests, with_identity
from crawler.evidence.resolve import best_first, resolve

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


def claim(
    repo: str | None = None, family: str | None = None, grade: Grade = Grade.DECLARED, **more: Any
) -> BaseClaim:
    return BaseClaim(repo=repo, family=family, source=more.pop("source", "card"), grade=grade, **more)


claims = st.builds(
    BaseClaim,
    repo=st.none() | st.sampled_from([SD15, SD15.upper(), "runwayml/stable-diffusion-v1-5", SDXL, "me/tune"]),
    family=st.none() | st.sampled_from(["sd1", "sdxl", "flux", "unknown"]),
    source=st.sampled_from(["card", "hub relation", "header"]),
    grade=st.sampled_from(Grade),
    digest=st.none() | st.just("ab" * 32),
    civitai_version=st.none() | st.just("290640"),
).map(
    # Tensors name no repository.
    lambda one: claim(None, one.family, Grade.TENSORS) if one.grade is Grade.TENSORS else one
)


@given(st.lists(claims, max_size=7), st.randoms())
def test_the_order_of_claims_does_not_matter(given_claims: list[BaseClaim], random: Any) -> None:
    shuffled = [*given_claims, *given_claims[:2]]
    random.shuffle(shuffled)
    assert resolve(shuffled) == resolve(given_claims)


@given(st.lists(claims, max_size=7))
def test_a_decision_is_one_of_the_claims_and_never_against_proof(given_claims: list[BaseClaim]) -> None:
    decision = resolve(given_claims)
    assert decision.claim is None or decision.claim in given_claims
    assert decision.family is None or decision.family in {one.known_family for one in given_claims}
    proofs = {
        one.known_family
        for one in given_claims
        if one.grade is Grade.TENSORS and one.known_family is not None
    }
    if proofs:
        assert decision.family in {None, *proofs}
        assert decision.claim is None or decision.claim.known_family in {None, *proofs}
    if len(proofs) == 1:
        assert {decision.family} == proofs
    told = [conflict.claim for conflict in decision.conflicts]
    for one in given_claims:
        against = decision.family and one.known_family and one.known_family != decision.family
        if against and one.grade is not Grade.TENSORS:
            assert one in told, "whoever says otherwise is on record"


@given(st.lists(claims, max_size=7))
def test_best_first_keeps_every_claim_once(given_claims: list[BaseClaim]) -> None:
    ordered = best_first(given_claims)
    assert set(ordered) == set(given_claims)
    assert [one.grade for one in ordered] == sorted((one.grade for one in set(given_claims)), reverse=True)


def test_tensors_overrule_the_card() -> None:
    """A LoRA whose card says SD 1.5 and whose keys are as wide as SDXL's."""
    decision = resolve(
        [
            claim(SD15, "sd1"),
            claim(None, "sdxl", Grade.TENSORS, source="names and shapes"),
            claim(SDXL, "sdxl", Grade.LABEL, source="civitai baseModel"),
        ]
    )
    assert (decision.repo, decision.family, decision.grade) == (SDXL, "sdxl", Grade.LABEL)
    [conflict] = decision.conflicts
    assert conflict.claim.repo == SD15
    assert "the tensors prove sdxl" in conflict.why


def test_a_base_of_a_family_nobody_knows_is_not_refused() -> None:
    decision = resolve([claim("me/tune"), claim(None, "sdxl", Grade.TENSORS)])
    assert (decision.repo, decision.family) == ("me/tune", "sdxl")
    assert decision.conflicts == ()


def test_nothing_is_invented() -> None:
    decision = resolve([claim(None, "sdxl", Grade.LABEL), claim(None, None, Grade.DIGEST, digest="ab" * 32)])
    assert (decision.repo, decision.family) == (None, "sdxl")
    assert decision.nearest
    assert decision.nearest.digest == "ab" * 32
    assert resolve([]).claim is None


def test_of_two_declared_bases_the_one_that_more_claims_name() -> None:
    two = [claim("a/merge", source="card"), claim("b/merge", source="card")]
    assert resolve(two).repo == "a/merge"
    decision = resolve([*two, claim("B/Merge", grade=Grade.NAME, source="title")])
    assert decision.repo == "b/merge"
    assert [one.claim.repo for one in decision.conflicts] == ["a/merge"]
    assert "same grade" in decision.conflicts[0].why


def test_a_moved_repository_is_no_conflict() -> None:
    decision = resolve([claim("runwayml/stable-diffusion-v1-5"), claim(SD15, grade=Grade.DIGEST)])
    assert (decision.repo, decision.conflicts) == (SD15, ())


def test_tensors_that_leave_two_families_open_rule_out_the_rest() -> None:
    """A Chroma LoRA that adapts only the blocks that FLUX has, too."""
    open_ones = [claim(None, "flux", Grade.TENSORS), claim(None, "chroma", Grade.TENSORS)]
    assert resolve(open_ones).family is None
    decision = resolve([*open_ones, claim(SDXL, "sdxl"), claim("me/chroma", "chroma", Grade.LABEL)])
    assert (decision.repo, decision.family) == ("me/chroma", "chroma")
    assert [one.claim.repo for one in decision.conflicts] == [SDXL]
    assert "the tensors prove chroma or flux" in decision.conflicts[0].why


def walked(start: str, tree: dict[str, Sequence[BaseClaim]], **more: Any) -> Any:
    return chain(start, lambda name: tree.get(name, ()), **more)


def test_a_chain_from_an_adapter_over_a_fine_tune_to_its_base() -> None:
    found = walked("me/lora", {"me/lora": [claim("me/tune")], "me/tune": [claim(SD15, "sd1")]})
    assert [link.base for link in found.links] == ["me/tune", SD15]
    assert found.end == "a base model"
    assert found.nearest.base == "me/tune"
    assert found.behind == (SD15,)
    far = walked(
        "me/lora",
        {"me/lora": [claim("me/tune")], "me/tune": [claim(SD15, "sd1")]},
        loadable=lambda base: base == SD15,
    )
    assert (far.nearest.base, far.skipped, far.behind) == (SD15, ("me/tune",), ())


def test_a_version_on_civitai_is_nearer_and_its_label_stands_in() -> None:
    exact = claim(None, None, Grade.LOADED, civitai_version="290640", source="header model name")
    found = walked("civitai:9", {"civitai:9": [exact, claim(SDXL, "sdxl", Grade.LABEL)]})
    assert [(link.base, link.loadable) for link in found.links] == [("civitai:290640", False), (SDXL, True)]
    assert (found.nearest.base, found.skipped) == (SDXL, ("civitai:290640",))


def test_cycles_end_and_are_named() -> None:
    found = walked("a/a", {"a/a": [claim("b/b")], "b/b": [claim("A/A")]})
    assert [link.base for link in found.links] == ["b/b"]
    assert found.end == "a cycle back to A/A"
    assert walked(SD15, {SD15: [claim(SD15)]}).end == "a base model"
    assert walked("a/a", {}).end == "no claim"


def test_a_chain_without_end_is_cut() -> None:
    found = chain("m/0", lambda name: [claim(f"m/{int(name.split('/')[1]) + 1}")])
    assert len(found.links) == MAX_DEPTH
    assert found.end == "too long"


def test_digests_are_looked_up_once_and_named_afterwards() -> None:
    digests = ["aa" * 32, "bb" * 32, "cc" * 32]
    given_claims = [
        claim(None, None, Grade.DIGEST, digest=digests[0]),
        claim(None, None, Grade.DIGEST, digest=digests[0], source="another"),
        claim(SD15, "sd1", Grade.DIGEST, digest=digests[1]),
        claim(None, "sdxl", Grade.DIGEST, digest=digests[2]),
    ]
    assert unknown_digests(given_claims) == (digests[0], digests[2])
    found = {
        digests[0]: Identity(hub=Hub.HUGGINGFACE, repo="me/tune", revision="f" * 40, family="unknown"),
        digests[2]: Identity(
            hub=Hub.CIVITAI, repo="257749", revision="290640", title="Pony\x1b[31m", family="sdxl"
        ),
        digests[1]: Identity(hub=Hub.HUGGINGFACE, repo="some/thief", revision="f" * 40),
    }
    named = with_identity(given_claims, found)
    assert [one.repo for one in named] == ["me/tune", "me/tune", SD15, None]
    assert named[0].family is None
    assert (named[3].civitai_version, named[3].grade) == ("290640", Grade.DIGEST)
    assert "\x1b" not in named[3].detail
    assert unknown_digests(named) == ()
