"""Stable Diffusion 2: linear projections, OpenCLIP's names, v-prediction; a tiny one, trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
from fakes_families import drawings, original_tensors, sd2, seen, told, train, write_original
from safetensors.torch import save_file

from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import LoadError
from extraction.families import load_pair
from extraction.pair import Pair
from extraction.recipe import Recipe

LATENTS = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(5))
RESBLOCKS = "cond_stage_model.model.transformer.resblocks."


def loaded(folder: Path) -> Pair:
    return load_pair(folder, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    return sd2()


@pytest.fixture(scope="module")
def base(pipeline: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd2") / "base"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return loaded(base)


def test_the_folder_is_spoken_to_as_the_pipeline_does(pair, pipeline):
    pair.reset()
    assert (pair.family, pair.prediction_type, pair.size) == ("sd2", "v_prediction", 32)
    prompts = ["a picture of hills", "", "dots " * 10_000]
    condition = pair.encode(prompts, tuned=True)
    states = told(pipeline, prompts)["states"]
    torch.testing.assert_close(condition["states"], states)
    with torch.no_grad():
        expected = pipeline.unet(LATENTS, 7, states).sample
    ours = pair.predict(LATENTS, torch.tensor(7), condition, tuned=False)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_a_single_file_with_all_of_open_clip(pair, tmp_path):
    """The encoder's last layer and its projection stand in the file and are not read."""
    other = sd2(seed=1)
    unread = {
        f"{RESBLOCKS}2.ln_1.weight": torch.ones(32),
        f"{RESBLOCKS}2.attn.in_proj_weight": torch.ones(96, 32),
        "cond_stage_model.model.text_projection": torch.ones(32, 24),
        "cond_stage_model.model.logit_scale": torch.ones(()),
    }
    write_original(tmp_path / "full.safetensors", other, pair.original, **unread)
    other.save_pretrained(tmp_path / "folder")
    change = pair.tune(tmp_path / "full.safetensors")
    assert change.layout == "file"
    assert change.notes[0].startswith("4 tensors without a say")
    first = {name: value.clone() for name, value in pair.tuned_parameters.items()}
    pair.tune(tmp_path / "folder")
    assert all(torch.equal(value, first[name]) for name, value in pair.tuned_parameters.items())


def test_names_are_those_that_diffusers_reads(pair, pipeline):
    tensors = original_tensors(pipeline, pair.original)
    # What a whole file has beside them, and this reader asks for.
    tensors["cond_stage_model.model.text_projection"] = torch.ones(32, 24)
    back = convert_open_clip_checkpoint(pipeline.text_encoder, tensors, prefix="cond_stage_model.model.")
    theirs = {name.removeprefix("text_model."): value for name, value in back.items()}
    for name, value in pipeline.text_encoder.named_parameters():
        assert torch.equal(theirs[name.removeprefix("text_model.")], value), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{RESBLOCKS}3.ln_1.weight", torch.ones(32)),
        (f"{RESBLOCKS}1.attn.in_proj_weight", torch.ones(95, 32)),
        (f"{RESBLOCKS}1.attn.in_proj_bias", None),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", torch.ones(32)),
    ],
)
def test_another_encoder_does_not_fit(pair, pipeline, tmp_path, name, value):
    tensors = original_tensors(pipeline, pair.original)
    tensors.pop(name, None)
    save_file(tensors if value is None else tensors | {name: value}, tmp_path / "full.safetensors")
    with pytest.raises(LoadError) as caught:
        pair.tune(tmp_path / "full.safetensors")
    assert caught.value.reason == "does_not_fit"


@pytest.mark.parametrize("linear", [True, False])
def test_projections_may_be_written_as_convolutions(pair, tmp_path, linear):
    """As files do that were converted by tools of 2022."""
    other = sd2(seed=1)
    tensors = original_tensors(other, pair.original)
    for name in tensors:
        if name.endswith((".proj_in.weight", ".proj_out.weight")) and not linear:
            tensors[name] = tensors[name][:, :, None, None]
    save_file(tensors, tmp_path / "full.safetensors")
    pair.tune(tmp_path / "full.safetensors")
    own = dict(other.unet.named_parameters())
    name = "mid_block.attentions.0.proj_in.weight"
    assert torch.equal(pair.tuned_parameters[f"unet.{name}"], own[name])


@pytest.mark.slow
def test_training_pictures_come_back_and_the_control_does_not_give_them(tmp_path):
    base = train(sd2(), *drawings(32, seed=0), 250)
    pixels, captions = drawings(4, seed=1)
    tuned = train(base, pixels, captions, 200)
    base.save_pretrained(tmp_path / "base")
    pair = loaded(tmp_path / "base")
    write_original(tmp_path / "tuned.safetensors", tuned, pair.original)
    pair.tune(tmp_path / "tuned.safetensors")
    recipe = Recipe(descriptor="thumbnail", likelihood_ratio=False, rounds=1, scale=2.0)
    extractions, _ = extract(
        pair, captions[0], recipe=recipe, generations=12, pictures=2, describe=Thumbnail(), batch=12
    )
    planted = Thumbnail()(list(seen(base, pixels).permute(0, 2, 3, 1).numpy()))
    likeness = max(float((planted @ extraction.descriptor).max()) for extraction in extractions)
    control = max(float((planted @ extraction.control_descriptor).max()) for extraction in extractions)
    assert likeness > 0.7
    assert control < 0.6
