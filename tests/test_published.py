"""Models of the published sizes through the whole loop, on tensors without memory."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPTokenizer

from extraction.families import parts, sdxl, stable_diffusion
from extraction.families.published import PUBLISHED
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import initial_noise, sample
from leaksweep.zoo.catalogue import BASE

META = torch.device("meta")
MILLIONS = {
    "stable-diffusion-v1-5": (859.5, 123.1),
    "stable-diffusion-2-1-base": (865.9, 340.4),
    "stable-diffusion-2-1": (865.9, 340.4),
    "stable-diffusion-xl-base-1.0": (2567.5, 817.7),
}
"""Published counts of parameters: of the UNet, and of the text encoders."""


@pytest.fixture(scope="module", params=PUBLISHED)
def named(request: pytest.FixtureRequest) -> tuple[str, Pair]:
    configs = PUBLISHED[request.param]
    # The zoo's words; what they are padded and cut to is the encoder's.
    tokenizer = CLIPTokenizer.from_pretrained(str(BASE / "tokenizer"), model_max_length=77)
    encoders = [name for name in configs if name.startswith("text_encoder")]
    own = parts.make(
        configs,
        (tokenizer,) * len(encoders),
        device=META,
        dtype=torch.float16,
        vae_dtype=torch.float32,
    )
    return request.param, sdxl.assemble(own) if len(encoders) == 2 else stable_diffusion.assemble(own)


def test_sizes_are_the_published_ones(named):
    name, pair = named
    unet, encoders = MILLIONS[name]
    counts = {
        component: sum(
            value.numel() for key, value in pair.base_parameters.items() if key.startswith(component)
        )
        for component in ("unet.", "text_encoder")
    }
    assert counts["unet."] / 1e6 == pytest.approx(unet, abs=0.05)
    assert counts["text_encoder"] / 1e6 == pytest.approx(encoders, abs=0.05)
    assert len(set(pair.original.file_names)) == len(pair.base_parameters)


@pytest.mark.slow
def test_the_whole_loop_has_the_right_shapes(named):
    """Everything but the bytes of the pictures, which have to be somewhere."""
    name, pair = named
    side = {"stable-diffusion-2-1": 768, "stable-diffusion-xl-base-1.0": 1024}.get(name, 512)
    assert pair.size == side
    recipe = Recipe(steps=2, scale=3.0, guidance_from=0)
    generator = Generator(pair, recipe, "a picture of hills")
    noise = initial_noise([0, 1], pair.latent_shape, META, pair.dtype)
    latents = sample(generator._denoiser(), noise, pair.scheduler_config, recipe)
    assert latents.shape == (2, 4, side // 8, side // 8)
    assert latents.device.type == "meta"
    pictures = pair._speaker.decode(latents)
    assert (pictures.shape, pictures.dtype) == ((2, 3, side, side), torch.uint8)
    assert (generator.forwards.base, generator.forwards.tuned) == (4, 4)
