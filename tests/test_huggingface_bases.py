"""Base models on the Hugging Face Hub."""

from __future__ import annotations

from fakes_repositories import BASE, folder, source, weights

from crawler.checkpoint import Base, Skip, SkipReason
from leaksweep.hub.content import HubContent, HubRepo
from leaksweep.hub.serve import LocalHub


def test_bases() -> None:
    repos = (
        BASE,
        HubRepo(id="zoo/gated", files=folder(), gated="auto"),
        HubRepo(
            id="zoo/pickle",
            files={**folder(), "unet/diffusion_pytorch_model.safetensors": b""} | {"a.bin": b""},
        ),
        HubRepo(id="zoo/single", files={"a.safetensors": weights()}),
    )
    with LocalHub(HubContent(repos=repos)) as hub:
        found = source(hub)
        base = found.resolve_base("zoo/base")
        renamed = found.resolve_base("zoo/old-name")
        reasons = {
            name: skip.reason
            for name in ("zoo/gated", "zoo/single", "nobody/nothing")
            if isinstance(skip := found.resolve_base(name), Skip)
        }
    assert isinstance(base, Base)
    assert renamed == base
    assert (base.repo, base.family, len(base.revision)) == ("zoo/base", "sd1", 40)
    assert sorted(file.path for file in base.files) == sorted(folder())
    assert reasons == {
        "zoo/gated": SkipReason.GATED,
        "zoo/single": SkipReason.MISSING_BASE,
        "nobody/nothing": SkipReason.MISSING_BASE,
    }
