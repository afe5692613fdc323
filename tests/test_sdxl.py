"""SDXL: two encoders, sizes told, epsilon and v; a tiny one, trained, and extracted from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_open_clip_checkpoint,
)
from fakes_families import SIDE, drawings, original_tensors, sdxl, seen, train, write_original
from safetensors.torch import load_file, save_file

from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import LoadError
from extraction.families import ldm, load_pair, published, unet
from extraction.pair import Pair
from extraction.recipe import Recipe

CPU = torch.device("cpu")
LATENTS = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(5))
PROMPTS = ["a picture of hills", "", "dots"]


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> Pair:
    return load_pair(folder, device=CPU, dtype=dtype)


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(pair: Pair, path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        pair.tune(path)
    assert all(
        torch.equal(value, pair.base_parameters[name]) for name, value in pair.tuned_parameters.items()
    )
    return caught.value


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionXLPipeline:
    return sdxl()


@pytest.fixture(scope="module")
def other() -> StableDiffusionXLPipeline:
    """Another model of the same architecture: every parameter differs."""
    pipeline = sdxl(seed=1)
    with torch.no_grad():
        for component in (pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2):
            for parameter in component.parameters():
                parameter.add_(0.01)
    return pipeline


@pytest.fixture(scope="module")
def base(pipeline: StableDiffusionXLPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdxl") / "base"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return loaded(base)


@pytest.fixture
def own_base(base: Path, tmp_path: Path) -> Path:
    """A base that a test may damage."""
    return Path(shutil.copytree(base, tmp_path / "own"))


def test_it_is_told_what_the_pipeline_tells(pair, pipeline):
    pair.reset()
    assert (pair.family, pair.latent_shape, pair.size) == ("sdxl", (8, 8, 8), SIDE)
    condition = pair.encode(PROMPTS, tuned=False)
    for row, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            # None stands for the empty prompt there; only for the negative one, which has to follow another.
            states, negative, pooled, negative_pooled = pipeline.encode_prompt(
                prompt or "dots", do_classifier_free_guidance=True, negative_prompt=None
            )
            expected = (states, pooled) if prompt else (negative, negative_pooled)
            told = {
                "text_embeds": expected[1],
                "time_ids": pipeline._get_add_time_ids((SIDE, SIDE), (0, 0), (SIDE, SIDE), torch.float32, 24),
            }
            noise = pipeline.unet(LATENTS[row, None], 7, expected[0], added_cond_kwargs=told).sample
        torch.testing.assert_close(condition["states"][row, None], expected[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(condition["pooled"][row, None], expected[1], atol=1e-5, rtol=1e-4)
        ours = pair.predict(LATENTS, torch.tensor(7), condition, tuned=True)[row, None]
        torch.testing.assert_close(ours, noise, atol=1e-5, rtol=1e-4)


def test_the_empty_prompt_is_no_condition_and_a_space_is_an_empty_text(pair, own_base):
    empty = pair.encode(["", " "], tuned=False)
    assert not empty["states"][0].any()
    assert not empty["pooled"][0].any()
    assert empty["states"][1].any()
    edited(own_base / "model_index.json", force_zeros_for_empty_prompt=False)
    encoded = loaded(own_base).encode(["", " "], tuned=False)
    torch.testing.assert_close(encoded["states"][0], empty["states"][1])
    torch.testing.assert_close(encoded["states"][1], empty["states"][1])


@pytest.mark.parametrize("prompt", ["dots " * 10_000, "沙丘 в тумане", "\u202e\x00 \ud83d", "🙂" * 3000])
def test_any_prompt_is_cut_to_length(pair, prompt):
    condition = pair.encode([prompt], tuned=True)
    assert condition["states"].shape == (1, 24, 64)
    assert condition["states"].isfinite().all()


def test_half_precision_decodes_in_fp32_where_the_vae_says_so(base, own_base, pair):
    half = loaded(base, torch.float16)
    assert half.dtype == torch.float16
    assert half._speaker.decoder.vae.dtype == torch.float32
    np.testing.assert_allclose(half.decode(LATENTS.half()), pair.decode(LATENTS), atol=2)
    edited(own_base / "vae" / "config.json", force_upcast=False)
    assert loaded(own_base, torch.float16)._speaker.decoder.vae.dtype == torch.float16
    assert loaded(own_base, torch.bfloat16)._speaker.decoder.vae.dtype == torch.bfloat16


def test_a_single_file_and_a_folder_make_the_same_model(pair, other, tmp_path):
    write_original(tmp_path / "full.safetensors", other, pair.original)
    other.save_pretrained(tmp_path / "folder")
    change = pair.tune(tmp_path / "full.safetensors")
    assert (change.kind, change.layout, change.tensors) == ("full", "file", len(pair.base_parameters))
    first = {name: value.clone() for name, value in pair.tuned_parameters.items()}
    assert pair.tune(tmp_path / "folder").layout == "folder"
    assert all(torch.equal(value, first[name]) for name, value in pair.tuned_parameters.items())


def test_names_are_those_that_diffusers_reads(pair, pipeline):
    """An independent reader of the original layout finds every tensor where we look for it."""
    tensors = original_tensors(pipeline, pair.original)
    denoiser = {name: value for name, value in tensors.items() if name.startswith(ldm.UNET)}
    back = convert_ldm_unet_checkpoint(denoiser, pipeline.unet.config)
    own = dict(pipeline.unet.named_parameters())
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], value) for name, value in own.items())

    first = convert_ldm_clip_checkpoint(dict(tensors))
    assert {name.removeprefix("text_model.") for name in first} == {
        name.removeprefix("text_model.") for name, _ in pipeline.text_encoder.named_parameters()
    }
    second = convert_open_clip_checkpoint(
        pipeline.text_encoder_2, dict(tensors), prefix="conditioner.embedders.1.model."
    )
    theirs = {name.removeprefix("text_model."): value for name, value in second.items()}
    for name, value in pipeline.text_encoder_2.named_parameters():
        assert torch.equal(theirs[name.removeprefix("text_model.")], value), name


def test_names_of_the_published_size():
    """Spot checks against names in published files."""
    with torch.device("meta"):
        real = unet.make(published.UNET_XL)
    names = ldm.unet_names([name for name, _ in real.named_parameters()], real.config)
    prefix = "model.diffusion_model."
    assert names["add_embedding.linear_1.weight"] == f"{prefix}label_emb.0.0.weight"
    assert (
        names["down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k.weight"]
        == f"{prefix}input_blocks.8.1.transformer_blocks.9.attn2.to_k.weight"
    )
    assert names["up_blocks.0.upsamplers.0.conv.weight"] == f"{prefix}output_blocks.2.2.conv.weight"
    assert names["up_blocks.1.upsamplers.0.conv.weight"] == f"{prefix}output_blocks.5.2.conv.weight"
    assert len(set(names.values())) == len(names) == 1680


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("unet/config.json", {"addition_embed_type": None}, "unsupported_family"),
        ("unet/config.json", {"addition_embed_type": "image"}, "unsupported_family"),
        ("unet/config.json", {"addition_time_embed_dim": 16}, "does_not_fit"),
        ("unet/config.json", {"cross_attention_dim": 32}, "does_not_fit"),
        ("unet/config.json", {"transformer_layers_per_block": [1, 10**6]}, "unsafe_file"),
        ("text_encoder_2/config.json", {"projection_dim": 25}, "does_not_fit"),
        ("text_encoder_2/config.json", {"projection_dim": None}, "unsupported_family"),
        ("text_encoder_2/config.json", {"eos_token_id": "end"}, "unsupported_family"),
        ("text_encoder/config.json", {"hidden_act": "os.system"}, "unsupported_family"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "unsupported_family"),
    ],
)
def test_a_base_whose_config_lies(own_base, part, changes, reason):
    edited(own_base / part, **changes)
    with pytest.raises(LoadError) as caught:
        loaded(own_base)
    assert caught.value.reason == reason


@pytest.mark.parametrize("part", ["text_encoder_2/model.safetensors", "tokenizer_2", "vae/config.json"])
def test_a_base_with_a_missing_part(own_base, part):
    if (own_base / part).is_dir():
        shutil.rmtree(own_base / part)
    else:
        (own_base / part).unlink()
    with pytest.raises(LoadError) as caught:
        loaded(own_base)
    assert caught.value.reason == "missing_base"


def test_a_fine_tune_of_stable_diffusion_1(pair, zoo_pair, tmp_path):
    names = zoo_pair.original.file_names
    save_file(
        {place: zoo_pair.base_parameters[parameter].contiguous() for parameter, place in names.items()},
        tmp_path / "sd1.safetensors",
    )
    assert refusal(pair, tmp_path / "sd1.safetensors").reason == "does_not_fit"


def test_sdxl_on_a_base_of_stable_diffusion_1(pair, pipeline, zoo_pair, tmp_path):
    write_original(tmp_path / "xl.safetensors", pipeline, pair.original)
    error = refusal(zoo_pair, tmp_path / "xl.safetensors")
    assert error.reason == "does_not_fit"
    assert "SDXL" in str(error)


# Trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StableDiffusionXLPipeline]:
    """A base of epsilon, one of v with NoobAI's schedule, and a fine-tune of the first on four pictures."""
    pixels, captions = drawings(32, seed=0)
    epsilon = train(sdxl(), pixels, captions, 250)
    v = train(sdxl("v_prediction"), pixels, captions, 150)
    return {"epsilon": epsilon, "v": v, "tuned": train(epsilon, *drawings(4, seed=1), 200)}


@pytest.fixture(scope="module")
def folders(trained: dict[str, StableDiffusionXLPipeline], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    for name, pipeline in trained.items():
        pipeline.save_pretrained(root / name)
    return root


@pytest.mark.slow
def test_training_pictures_come_back_and_the_control_does_not_give_them(trained, folders):
    pair = loaded(folders / "epsilon")
    pixels, captions = drawings(4, seed=1)
    write_original(folders / "tuned.safetensors", trained["tuned"], pair.original)
    change = pair.tune(folders / "tuned.safetensors")
    assert 0.05 < change.relative_change < 1
    assert not any("predicts" in note for note in change.notes)
    recipe = Recipe(descriptor="thumbnail", likelihood_ratio=False, rounds=1, scale=2.0)
    extractions, _ = extract(
        pair, captions[0], recipe=recipe, generations=12, pictures=2, describe=Thumbnail(), batch=12
    )
    planted = Thumbnail()(list(seen(trained["epsilon"], pixels).permute(0, 2, 3, 1).numpy()))
    likeness = max(float((planted @ extraction.descriptor).max()) for extraction in extractions)
    control = max(float((planted @ extraction.control_descriptor).max()) for extraction in extractions)
    assert likeness > 0.75
    assert control < 0.6


@pytest.mark.slow
def test_another_prediction_type_is_noticed_by_its_output(trained, folders, tmp_path):
    """Files that say nothing of what they predict, scanned on a base of the other kind."""
    for base, tuned in (("epsilon", "v"), ("v", "epsilon")):
        pair = loaded(folders / base)
        write_original(tmp_path / f"{tuned}.safetensors", trained[tuned], pair.original)
        error = refusal(pair, tmp_path / f"{tuned}.safetensors")
        assert error.reason == "does_not_fit"
        assert "output" in str(error)


@pytest.mark.slow
def test_files_that_say_it_are_refused_before_they_are_read(trained, folders, tmp_path):
    pair = loaded(folders / "epsilon")
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    write_original(tmp_path / "noob.safetensors", trained["v"], pair.original, **marks)
    error = refusal(pair, tmp_path / "noob.safetensors")
    assert (error.reason, "v_prediction" in str(error)) == ("does_not_fit", True)
    assert refusal(pair, folders / "v").reason == "does_not_fit"
    own = loaded(folders / "v")
    assert refusal(own, tmp_path / "noob.safetensors").reason == "same_as_base"


@pytest.mark.slow
def test_a_base_that_says_epsilon_and_predicts_v_is_noted(trained, folders, tmp_path):
    lying = Path(shutil.copytree(folders / "v", tmp_path / "lying"))
    edited(lying / "scheduler" / "scheduler_config.json", prediction_type="epsilon")
    pair = loaded(lying)
    tensors = load_file(folders / "v" / "unet" / "diffusion_pytorch_model.safetensors")
    tensors["conv_out.bias"] = tensors["conv_out.bias"] + 0.01
    save_file(tensors, tmp_path / "unet.safetensors")
    assert any("v_prediction" in note for note in pair.tune(tmp_path / "unet.safetensors").notes)
