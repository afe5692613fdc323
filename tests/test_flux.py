"""FLUX.1 dev and schnell: as diffusers' pipeline speaks to them, and extracted from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from fakes_flow import CAPTIONS, LATENT, PROMPTS, RECIPE, flux_pipeline, sd3_pipeline, trained
from safetensors.torch import save_file
from torch import Tensor

from extraction.condition import Condition
from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import ExtractionError, LoadError
from extraction.families import load_pair, transformer
from extraction.generate import Generator
from extraction.metrics import best_similarities
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import sample

CPU = torch.device("cpu")
NOISE = torch.randn(2, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> FluxPipeline:
    return flux_pipeline(tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="module")
def base(dev: FluxPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flux") / "base"
    dev.save_pretrained(folder)
    return folder


@pytest.fixture
def pair(base: Path) -> Pair:
    return load_pair(base, device=CPU, dtype=torch.float32)


@pytest.fixture
def broken(base: Path, tmp_path: Path) -> Path:
    """A copy of the base, to take something away from."""
    return Path(shutil.copytree(base, tmp_path / "broken"))


def test_encodes_as_the_pipeline_does(dev, pair):
    condition = pair.encode(PROMPTS, tuned=False)
    states, pooled, _ = dev.encode_prompt(PROMPTS, device=CPU)
    torch.testing.assert_close(condition["states"], states, atol=1e-4, rtol=0)
    torch.testing.assert_close(condition["pooled"], pooled)
    assert condition["guidance"].tolist() == [1] * len(PROMPTS)


@pytest.mark.parametrize("kind", ["dev", "schnell"])
def test_draws_the_pipelines_pictures(kind, dev, base, tmp_path):
    pipeline = dev
    if kind == "schnell":
        pipeline = flux_pipeline(tmp_path / "words", dev=False)
        base = tmp_path / "base"
        pipeline.save_pretrained(base)
    pair = load_pair(base, device=CPU, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        [CAPTIONS[0]] * 2,
        guidance_scale=3.5,
        num_inference_steps=3,
        height=2 * LATENT,
        width=2 * LATENT,
        latents=transformer.pack(NOISE),
        max_sequence_length=512 if kind == "dev" else 256,
        output_type="np",
    ).images
    condition = pair.encode([CAPTIONS[0]], tuned=True).told("guidance", 3.5).expand(2)
    assert ("guidance" in condition.tensors) == (kind == "dev")
    latents = sample(
        lambda latents, timestep, index: pair.predict(latents, timestep, condition, tuned=True),
        NOISE,
        pair.scheduler_config,
        Recipe(sampler="ddim", steps=3),
    )
    ours = pair.decode(latents).permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - 255 * drawn).max() < 1  # The pipeline's are not rounded.


def test_packing_goes_there_and_back():
    latents = torch.arange(2 * 4 * 6 * 8.0).reshape(2, 4, 6, 8)
    packed = transformer.pack(latents)
    assert packed.shape == (2, 12, 16)
    assert torch.equal(packed[0, 5], latents[0, :, 2:4, 2:4].flatten())
    assert torch.equal(transformer.unpack(packed, 3), latents)


def test_the_recipe_tells_base_and_tuned_model_their_guidance(pair, monkeypatch):
    told = []
    speaker = type(pair._speaker)

    def predict(self, components, latents, timestep, condition):
        told.append((components is pair._models[True], condition["guidance"].tolist()))
        return latents

    monkeypatch.setattr(speaker, "predict", predict)
    for settings in ({}, {"embedded_guidance": 3.5, "embedded_guidance_base": 2.0}):
        recipe = RECIPE.model_copy(update={"steps": 1, "scale": 2.0, **settings})
        next(Generator(pair, recipe, CAPTIONS[0]).pictures([0, 1], 2))
    assert told == [(True, [1, 1]), (False, [1, 1]), (True, [3.5, 3.5]), (False, [2, 2])]


def test_guidance_changes_what_dev_predicts(pair):
    condition = pair.encode([CAPTIONS[0]], tuned=False).expand(2)
    plain, guided = (
        pair.predict(NOISE, torch.tensor(500.0), condition.told("guidance", value), tuned=False)
        for value in (1, 3.5)
    )
    assert not torch.allclose(plain, guided)


@pytest.mark.slow
def test_planted_pictures_come_back(dev, tmp_path):
    dev.save_pretrained(tmp_path / "base")
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


def write_original(pair: Pair, path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """A single file of random numbers; returns what the parameters are to become."""
    generator = torch.Generator().manual_seed(9)
    tensors: dict[str, list[Tensor]] = {}
    values = {}
    for parameter, place in pair.original.file_names.items():
        value = torch.randn(pair.original.shapes[parameter], generator=generator)
        turn = pair.original.turned.get(parameter)
        tensors.setdefault(place, []).append(value)
        values[parameter] = value if turn is None else turn(value)
    whole = {prefix + place: torch.cat(parts) for place, parts in tensors.items()}
    whole["vae.decoder.conv_in.weight"] = torch.zeros(1)
    whole["text_encoders.t5xxl.transformer.shared.weight"] = torch.zeros(1)
    save_file(whole, path)
    return values


def test_a_single_file_takes_the_place_of_every_parameter(pair, tmp_path):
    values = write_original(pair, tmp_path / "file.safetensors")
    change = pair.tune(tmp_path / "file.safetensors")
    assert (change.kind, change.layout, change.tensors) == ("full", "file", len(pair.base_parameters))
    for name, value in values.items():
        assert torch.equal(pair.tuned_parameters[name], value), name


def test_a_lora_on_stacked_layers_changes_each_of_them(pair, tmp_path):
    rank, alpha = 2, 1.0
    generator = torch.Generator().manual_seed(4)
    tensors, deltas = {}, {}
    for name in ("double_blocks.1.txt_attn.qkv", "single_blocks.0.linear1"):
        place = f"model.diffusion_model.{name}.weight"
        stacked = [parameter for parameter, theirs in pair.original.file_names.items() if theirs == place]
        layers = [parameter.removesuffix(".weight") for parameter in stacked]
        out = sum(pair.original.shapes[f"{layer}.weight"][0] for layer in layers)
        down, up = torch.randn(rank, 64, generator=generator), torch.randn(out, rank, generator=generator)
        stem = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(alpha)
        parts = (alpha / rank * up @ down).split([pair.original.shapes[f"{one}.weight"][0] for one in layers])
        deltas |= dict(zip(layers, parts, strict=True))
    # kohya's trainers write "epsilon" whatever the model predicts.
    save_file(tensors, tmp_path / "lora.safetensors", {"modelspec.prediction_type": "epsilon"})
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 7
    for layer, delta in deltas.items():
        name = f"{layer}.weight"
        torch.testing.assert_close(pair.tuned_parameters[name] - pair.base_parameters[name], delta)


def test_a_lora_on_the_last_norm_has_its_halves_swapped(pair, tmp_path):
    down, up = torch.randn(2, 64), torch.randn(128, 2)
    stem = "lora_unet_final_layer_adaLN_modulation_1"
    save_file({f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 1
    name = "transformer.norm_out.linear.weight"
    shift, scale = (up @ down).chunk(2)
    change = pair.tuned_parameters[name] - pair.base_parameters[name]
    torch.testing.assert_close(change, torch.cat([scale, shift]))


def test_a_lora_of_sd3_does_not_fit(pair, tmp_path):
    stem = "transformer.transformer_blocks.0.attn2.to_q"
    tensors = {f"{stem}.lora_A.weight": torch.ones(2, 64), f"{stem}.lora_B.weight": torch.ones(64, 2)}
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(LoadError) as error:
        pair.tune(tmp_path / "lora.safetensors")
    assert error.value.reason == "does_not_fit"


def test_a_full_sd3_does_not_fit(pair, tmp_path):
    sd3_pipeline(tmp_path / "words").transformer.save_pretrained(tmp_path / "sd3" / "transformer")
    with pytest.raises(LoadError) as error:
        pair.tune(tmp_path / "sd3")
    assert error.value.reason == "does_not_fit"


@pytest.mark.parametrize(
    "part", ["text_encoder_2", "tokenizer_2", "tokenizer_2/tokenizer.json", "text_encoder/config.json", "vae"]
)
def test_a_base_without_a_part_is_refused_by_name(part, broken):
    path = broken / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(LoadError, match=part.rpartition("/")[2]) as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "missing_base"


def change_config(folder: Path, **settings: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_variant_that_is_shown_a_picture_is_refused(pair, base, broken):
    FluxTransformer2DModel.from_config(
        {**pair._models[0]["transformer"].config, "in_channels": 24, "out_channels": 16}
    ).save_pretrained(broken / "transformer")
    with pytest.raises(LoadError, match="fill, depth, canny") as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "unsupported_family"


@pytest.mark.parametrize(
    ("part", "settings", "reason"),
    [
        ("transformer", {"num_layers": 10**6}, "unsafe_file"),
        ("text_encoder_2", {"num_layers": 10**6}, "unsafe_file"),
        ("text_encoder_2", {"d_model": "many"}, "unsupported_family"),
        ("text_encoder_2", {"feed_forward_proj": "gated-nothing"}, "unsupported_family"),
        ("text_encoder_2", {"num_layers": 3}, "does_not_fit"),
    ],
)
def test_senseless_configs_are_refused(part, settings, reason, broken):
    change_config(broken / part, **settings)
    with pytest.raises(LoadError) as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == reason


def test_a_tokenizer_with_more_words_than_its_encoder_is_refused(broken, dev):
    tokenizer = json.loads((broken / "tokenizer_2" / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] += [[f"word{number}", -9.0] for number in range(50)]
    (broken / "tokenizer_2" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(LoadError, match="more words") as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "does_not_fit"


@pytest.mark.parametrize("text", ["{", "{}", '{"model": {"type": "Unigram", "vocab": 3}}'])
def test_an_unreadable_tokenizer_is_refused(text, broken):
    (broken / "tokenizer_2" / "tokenizer.json").write_text(text)
    with pytest.raises(LoadError, match="tokenizer_2") as error:
        load_pair(broken, device=CPU, dtype=torch.float32)
    assert error.value.reason == "missing_base"


def test_odd_sizes_are_refused(pair):
    with pytest.raises(ExtractionError, match="multiple of 16"):
        pair.predict(NOISE[:, :, :15], torch.tensor(1.0), Condition({}), tuned=False)


@pytest.mark.parametrize(("dtype", "second"), [("bfloat16", "bfloat16"), ("float16", "bfloat16")])
def test_t5_stays_in_the_range_of_bfloat16(base, dtype, second):
    pair = load_pair(base, device=CPU, dtype=getattr(torch, dtype))
    assert pair._speaker.second.encoder.dtype == getattr(torch, second)
    pictures = next(Generator(pair, RECIPE, CAPTIONS[0]).pictures([0], 1))
    assert pictures.shape == (1, 2 * LATENT, 2 * LATENT, 3)
