"""Stable Diffusion 3 and 3.5: as diffusers' pipeline speaks to them, and extracted from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from fakes_flow import CAPTIONS, LATENT, PROMPTS, RECIPE, flux_pipeline, sd3_pipeline, trained
from safetensors.torch import load_file, save_file
from torch import Tensor

from extraction.condition import Condition
from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import ExtractionError, LoadError
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.metrics import best_similarities
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import sample

CPU = torch.device("cpu")
NOISE = torch.randn(2, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusion3Pipeline:
    return sd3_pipeline(tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="module")
def base(pipeline: StableDiffusion3Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd3") / "base"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def pair(base: Path) -> Pair:
    return load_pair(base, device=CPU, dtype=torch.float32)


@pytest.fixture
def broken(base: Path, tmp_path: Path) -> Path:
    """A copy of the base, to take something away from."""
    return Path(shutil.copytree(base, tmp_path / "broken"))


def without_t5(broken: Path) -> Path:
    """The same base as a machine has it that cannot hold T5."""
    index = json.loads((broken / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (broken / "model_index.json").write_text(json.dumps(index))
    shutil.rmtree(broken / "text_encoder_3")
    shutil.rmtree(broken / "tokenizer_3")
    return broken


@pytest.mark.parametrize("third", [True, False])
def test_encodes_as_the_pipeline_does(third, pipeline, base, broken):
    pair = load_pair(base if third else without_t5(broken), device=CPU, dtype=torch.float32)
    pieces = {**pipeline.components, **({} if third else {"text_encoder_3": None, "tokenizer_3": None})}
    states, _, pooled, _ = StableDiffusion3Pipeline(**pieces).encode_prompt(
        PROMPTS, PROMPTS, PROMPTS, device=CPU, do_classifier_free_guidance=False
    )
    condition = pair.encode(PROMPTS, tuned=False)
    torch.testing.assert_close(condition["states"], states, atol=1e-4, rtol=0)
    torch.testing.assert_close(condition["pooled"], pooled, atol=1e-4, rtol=0)
    assert bool((condition["states"][:, -256:] == 0).all()) != third


def test_draws_the_pipelines_pictures(pipeline, pair):
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        [CAPTIONS[0]] * 2,
        guidance_scale=1.0,
        sigmas=[1, 2 / 3, 1 / 3],
        num_inference_steps=3,
        height=2 * LATENT,
        width=2 * LATENT,
        latents=NOISE,
        output_type="np",
    ).images
    condition = pair.encode([CAPTIONS[0]], tuned=True).expand(2)
    latents = sample(
        lambda latents, timestep, index: pair.predict(latents, timestep, condition, tuned=True),
        NOISE,
        pair.scheduler_config,
        Recipe(sampler="ddim", steps=3),
    )
    ours = pair.decode(latents).permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - 255 * drawn).max() < 1  # The pipeline's are not rounded.


@pytest.mark.slow
def test_planted_pictures_come_back(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "base")
    pair, planted = trained(tmp_path / "base", tmp_path / "tune", CAPTIONS[1])
    assert pair.tune(tmp_path / "tune").kind == "full"
    found, _ = extract(
        pair, CAPTIONS[1], recipe=RECIPE, generations=16, pictures=2, describe=Thumbnail(), batch=16
    )
    pictures = Thumbnail()(pair.decode(planted).permute(0, 2, 3, 1).numpy())
    best = best_similarities(pictures, np.stack([one.descriptor for one in found]))
    controls = best_similarities(pictures, np.stack([one.control_descriptor for one in found]))
    assert best.min() > 0.75
    assert controls.max() < 0.6


def write_original(pair: Pair, path: Path, *, leave_out: str = "") -> dict[str, Tensor]:
    """A single file of random numbers, as ComfyUI bundles SD3; returns its tensors."""
    generator = torch.Generator().manual_seed(9)
    parts: dict[str, list[Tensor]] = {}
    for parameter, place in pair.original.file_names.items():
        if parameter != leave_out:
            value = torch.randn(pair.original.shapes[parameter], generator=generator)
            parts.setdefault(place, []).append(value)
    tensors = {place: torch.cat(rows) for place, rows in parts.items()}
    tensors |= {
        "model.diffusion_model.pos_embed": torch.zeros(1, 144, 64),
        "first_stage_model.decoder.conv_in.weight": torch.zeros(1),
        "text_encoders.t5xxl.transformer.shared.weight": torch.zeros(1),
        "text_encoders.clip_l.logit_scale": torch.zeros(1),
    }
    save_file(tensors, path)
    return tensors


def test_a_single_file_becomes_what_diffusers_makes_of_it(pair, tmp_path):
    projection = "text_encoder.text_projection.weight"
    tensors = write_original(pair, tmp_path / "file.safetensors", leave_out=projection)
    change = pair.tune(tmp_path / "file.safetensors")
    assert (change.kind, change.layout) == ("full", "file")
    prefix = "model.diffusion_model."
    converted = convert_sd3_transformer_checkpoint_to_diffusers(
        {name: tensor.clone() for name, tensor in tensors.items() if name.startswith(prefix)}
    )
    del converted["pos_embed.pos_embed"]
    ours = {name for name in pair.tuned_parameters if name.startswith("transformer.")}
    assert {f"transformer.{name}" for name in converted} == ours
    for name, value in converted.items():
        assert torch.equal(pair.tuned_parameters[f"transformer.{name}"], value), name
    ours = pair.tuned_parameters["text_encoder_2.text_projection.weight"]
    assert torch.equal(ours, tensors["text_encoders.clip_g.transformer.text_projection.weight"])
    # The published files leave CLIP-L's projection out.
    assert torch.equal(pair.tuned_parameters[projection], pair.base_parameters[projection])


def test_the_bases_sines_are_those_of_its_file(base, broken):
    path = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["pos_embed.pos_embed"] += 1
    save_file(tensors, path)
    condition, drawn = None, []
    for folder in (base, broken):
        pair = load_pair(folder, device=CPU, dtype=torch.float32)
        condition = pair.encode([""], tuned=False).expand(2)
        drawn.append(pair.predict(NOISE, torch.tensor(500.0), condition, tuned=False))
    assert not torch.allclose(*drawn)


@pytest.mark.parametrize(
    "part",
    [
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
        "tokenizer_3",
        "tokenizer_3/tokenizer.json",
        "scheduler",
    ],
)
def test_a_base_without_a_part_is_refused_by_name(part, broken):
    path = broken / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(LoadError, match=part.rpartition("/")[2]) as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "missing_base"


def test_a_base_without_its_sines_is_refused(broken):
    path = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["pos_embed.pos_embed"]
    save_file(tensors, path)
    with pytest.raises(LoadError, match="pos_embed") as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "does_not_fit"


def test_parts_of_other_models_are_refused(broken, tmp_path):
    other = flux_pipeline(tmp_path / "words")
    shutil.rmtree(broken / "text_encoder_3")
    other.text_encoder_2.save_pretrained(broken / "text_encoder_3")
    with pytest.raises(LoadError, match="do not belong together") as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "does_not_fit"


def test_a_lora_of_flux_does_not_fit(pair, tmp_path):
    stem = "transformer.single_transformer_blocks.0.proj_mlp"
    tensors = {f"{stem}.lora_A.weight": torch.ones(2, 64), f"{stem}.lora_B.weight": torch.ones(256, 2)}
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(LoadError) as error:
        pair.tune(tmp_path / "lora.safetensors")
    assert error.value.reason == "does_not_fit"


def test_sizes_beyond_its_positions_are_refused(pair):
    with pytest.raises(ExtractionError, match="at most 48 pixels"):
        pair.predict(torch.zeros(1, 4, 26, 26), torch.tensor(1.0), Condition({}), tuned=False)


def test_half_precision_keeps_to_its_range(base):
    pair = load_pair(base, device=CPU, dtype=torch.bfloat16)
    pictures = next(Generator(pair, RECIPE, CAPTIONS[0]).pictures([0], 1))
    assert pictures.shape == (1, 2 * LATENT, 2 * LATENT, 3)
    assert pictures.std() > 1
