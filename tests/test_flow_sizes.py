"""SD3 and FLUX.1 at their published sizes: shapes and names, on a device without memory."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from fakes_flow import flux_pipeline, sd3_pipeline

from extraction.families import clip, flux, sd3, t5, vae
from extraction.pair import Pair

FULL = {
    "guidance_embeds": True,
    "num_layers": 2,  # 19 of the same, as 38 of the single blocks.
    "num_single_layers": 2,
}
"""black-forest-labs/FLUX.1-dev, but for the number of layers; the rest is the class's default."""

MEDIUM = {  # stabilityai/stable-diffusion-3.5-medium
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
LARGE = {  # stabilityai/stable-diffusion-3.5-large
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
FIRST = {  # stabilityai/stable-diffusion-3-medium-diffusers
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 192,
}
T5_XXL = {
    **t5.DEFAULTS,
    "d_model": 4096,
    "d_ff": 10240,
    "num_heads": 64,
    "num_layers": 24,
    "feed_forward_proj": "gated-gelu",
}
CLIP_L = {
    **clip.DEFAULTS,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G = {
    **clip.DEFAULTS,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
POOLED = {name: value for name, value in CLIP_L.items() if name != "projection_dim"}
"""FLUX's CLIP, which has no projection."""

VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


@pytest.mark.parametrize("config", [FIRST, MEDIUM, LARGE], ids=["3", "3.5-medium", "3.5-large"])
def test_sd3_goes_through(config, tmp_path):
    pipeline = sd3_pipeline(tmp_path)
    with torch.device("meta"):
        transformer = SD3Transformer2DModel(**config, attention_head_dim=64)
        encoders = {"text_encoder": clip.make(CLIP_L), "text_encoder_2": clip.make(CLIP_G)}
        third = t5.make(T5_XXL)
        decoder = vae.Decoder(AutoencoderKL(**VAE, scaling_factor=1.5305, shift_factor=0.0609))
    full = sd3.assemble(
        {"transformer": transformer, **encoders},
        (pipeline.tokenizer, pipeline.tokenizer_2),
        t5.T5(third, pipeline.tokenizer_3),
        decoder,
        settings={
            "transformer": sd3.read_settings("transformer", dict(transformer.config)),
            "text_encoder": CLIP_L,
            "text_encoder_2": CLIP_G,
        },
        scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
    )
    assert (full.size, full.latent_shape) == (1024, (16, 128, 128))
    condition = full.encode([""], tuned=False)
    assert condition["states"].shape[2] == 4096
    assert condition["pooled"].shape == (1, 2048)
    latents = torch.empty(1, *full.latent_shape, device="meta")
    flow = full.predict(latents, torch.tensor(500.0, device="meta"), condition, tuned=True)
    assert flow.shape == latents.shape
    assert full._speaker.decode(flow).shape == (1, 3, 1024, 1024)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """FLUX.1 dev at its published sizes, without numbers."""
    words = flux_pipeline(tmp_path_factory.mktemp("words"))
    with torch.device("meta"):
        model = FluxTransformer2DModel(**FULL)
        encoder = clip.make(POOLED)
        second = t5.make(T5_XXL)
        decoder = vae.Decoder(AutoencoderKL(**VAE, scaling_factor=0.3611, shift_factor=0.1159))
    return flux.assemble(
        {"transformer": model, "text_encoder": encoder},
        words.tokenizer,
        t5.T5(second, words.tokenizer_2),
        decoder,
        settings={
            "transformer": flux.read_settings("transformer", dict(model.config)),
            "text_encoder": POOLED,
        },
        scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler"},
    )


def test_flux_goes_through(full):
    assert (full.size, full.latent_shape) == (1024, (16, 128, 128))
    condition = full.encode([""], tuned=False)
    assert condition["states"].shape == (1, 512, 4096)
    latents = torch.empty(1, *full.latent_shape, device="meta")
    flow = full.predict(latents, torch.tensor(500.0, device="meta"), condition, tuned=True)
    assert flow.shape == latents.shape
    assert full._speaker.decode(flow).shape == (1, 3, 1024, 1024)


def test_fluxs_single_files_have_the_names_that_diffusers_converts(full):
    """Rows of every tensor, numbered, land where an independent converter puts them."""
    original, ours, theirs = full.original, {}, {}
    rows: dict[str, int] = {}
    for parameter, place in original.file_names.items():
        if parameter.startswith("transformer."):
            begin = rows.get(place, 0)
            rows[place] = begin + original.shapes[parameter][0]
            ours[parameter] = (place, begin, rows[place])
    for number, (place, total) in enumerate(rows.items()):
        theirs[place] = torch.arange(total)[:, None] + 100_000 * number
    files = dict(theirs)
    converted = convert_flux_transformer_checkpoint_to_diffusers(theirs)
    assert {f"transformer.{name}" for name in converted} == ours.keys()
    for parameter, (place, begin, end) in ours.items():
        value = files[place][begin:end]
        turn = original.turned.get(parameter)
        expected = converted[parameter.removeprefix("transformer.")]
        assert torch.equal(value if turn is None else turn(value), expected), parameter
