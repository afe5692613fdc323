"""A base as a pair of models, and full fine-tunes put into its twin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from fakes_models import random_pipeline
from safetensors.torch import load_file, save_file
from torch import nn

from extraction.extraction import LoadError
from extraction.families import ldm, load_pair
from extraction.families.vae import Decoder
from extraction.pair import Pair
from leaksweep.zoo.formats import write_single_file

CPU = torch.device("cpu")
LATENTS = torch.randn(3, 8, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusionPipeline:
    return random_pipeline(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def base(pipeline: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair") / "base"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pair(base: Path) -> Pair:
    return load_pair(base, device=CPU, dtype=torch.float32)


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusionPipeline:
    """Another model of the same architecture: every parameter differs, the text encoder's too."""
    pipeline = random_pipeline(tmp_path_factory.mktemp("tuned"), seed=1)
    with torch.no_grad():
        for parameter in pipeline.text_encoder.parameters():
            parameter.mul_(1.5).add_(0.01)
        for parameter in pipeline.unet.parameters():
            parameter.add_(0.01)
    return pipeline


@pytest.fixture
def folder(tuned: StableDiffusionPipeline, tmp_path: Path) -> Path:
    tuned.save_pretrained(tmp_path / "tuned")
    return tmp_path / "tuned"


@pytest.fixture
def own_base(base: Path, tmp_path: Path) -> Path:
    """A base that a test may damage."""
    return Path(shutil.copytree(base, tmp_path / "own"))


def refusal(pair: Pair, path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        pair.tune(path)
    assert is_base(pair)
    return caught.value


def is_base(pair: Pair) -> bool:
    return all(
        torch.equal(value, pair.base_parameters[name]) for name, value in pair.tuned_parameters.items()
    )


def is_tuned(pair: Pair, tuned: StableDiffusionPipeline) -> bool:
    condition = pair.encode(["a picture of hills"], tuned=True)
    ids = pair_ids(tuned, ["a picture of hills"])
    with torch.no_grad():
        reference = tuned.text_encoder(ids).last_hidden_state
        noise = tuned.unet(LATENTS, 7, reference.expand(3, -1, -1)).sample
    ours = pair.predict(LATENTS, torch.tensor(7), condition.expand(3), tuned=True)
    same_states = torch.allclose(condition["states"], reference, atol=1e-6)
    return same_states and torch.allclose(ours, noise, atol=1e-5)


def pair_ids(pipeline: StableDiffusionPipeline, prompts: list[str]) -> torch.Tensor:
    return pipeline.tokenizer(
        prompts, padding="max_length", max_length=24, truncation=True, return_tensors="pt"
    ).input_ids


def edited(path: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# The pair


def test_both_models_begin_as_the_pipeline(pair, pipeline):
    pair.reset()
    assert (pair.family, pair.latent_shape, pair.size, pair.prediction_type) == (
        "sd1",
        (8, 16, 16),
        64,
        "epsilon",
    )
    assert (pair.device, pair.dtype) == (CPU, torch.float32)
    assert DDIMScheduler.from_config(pair.scheduler_config).config.beta_end == 0.012
    prompts = ["a picture of hills", "", "dots " * 50]
    with torch.no_grad():
        condition = pipeline.text_encoder(pair_ids(pipeline, prompts)).last_hidden_state
        noise = pipeline.unet(LATENTS, 7, condition).sample
    for which in (False, True):
        ours = pair.encode(prompts, tuned=which)
        assert torch.equal(ours["states"], condition)
        prediction = pair.predict(LATENTS, torch.tensor(7), ours, tuned=which)
        torch.testing.assert_close(prediction, noise, atol=1e-5, rtol=1e-4)


def test_one_timestep_for_all_or_one_for_each(pair):
    condition = pair.encode(["", "", ""], tuned=False)
    together = pair.predict(LATENTS, torch.tensor([7, 500, 7]), condition, tuned=False)
    alone = pair.predict(LATENTS, torch.tensor(7), condition, tuned=False)
    torch.testing.assert_close(together[[0, 2]], alone[[0, 2]])
    assert not torch.allclose(together[1], alone[1], atol=1e-4)


def test_pictures_are_decoded_as_the_pipeline_does(pair, pipeline):
    pictures = pair.decode(LATENTS)
    assert (pictures.dtype, tuple(pictures.shape)) == (torch.uint8, (3, 3, 64, 64))
    with torch.no_grad():
        decoded = pipeline.vae.decode(LATENTS / pipeline.vae.config.scaling_factor).sample
    reference = pipeline.image_processor.postprocess(decoded, output_type="np")
    np.testing.assert_allclose(pictures.permute(0, 2, 3, 1).numpy(), np.round(reference * 255), atol=1)


@pytest.mark.parametrize("pixels", [1, 64 * 64, 2 * 64 * 64])
def test_pictures_are_decoded_in_parts_of_bounded_size(pair, pipeline, pixels):
    parts = Decoder(pipeline.vae, pixels_at_once=pixels)
    with torch.no_grad():
        np.testing.assert_allclose(parts.decode(LATENTS).numpy(), pair.decode(LATENTS).numpy(), atol=1)


def test_the_global_generator_is_left_alone(base):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_pair(base, device=CPU, dtype=torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision(base, tuned, folder):
    half = load_pair(base, device=CPU, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    half.tune(folder)
    assert torch.equal(half.tuned_parameters["unet.conv_in.weight"], tuned.unet.conv_in.weight.bfloat16())
    noise = half.predict(LATENTS.bfloat16(), torch.tensor(7), half.encode([""] * 3, tuned=True), tuned=True)
    assert noise.dtype == torch.bfloat16


def test_the_twin_keeps_its_place_in_memory(pair, folder):
    places = {name: value.data_ptr() for name, value in pair.tuned_parameters.items()}
    pair.tune(folder)
    pair.reset()
    assert {name: value.data_ptr() for name, value in pair.tuned_parameters.items()} == places
    assert is_base(pair)
    assert not places.keys() - pair.base_parameters.keys()


# Full fine-tunes


def test_a_diffusers_folder(pair, tuned, folder):
    change = pair.tune(folder)
    assert is_tuned(pair, tuned)
    assert (change.kind, change.layout, change.tensors) == ("full", "folder", len(pair.base_parameters))
    assert change.relative_change > 0.1
    assert any("VAE" in note for note in change.notes)


def test_a_folder_of_older_libraries(pair, tuned, folder):
    """transformers 4 and before: a prefix and position_ids; variants and shards in file names."""
    text = folder / "text_encoder" / "model.safetensors"
    named = {
        f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(text).items()
    }
    named["text_model.embeddings.position_ids"] = torch.arange(24)[None]
    save_file(named, text)
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(unet)
    shards = {f"shard-{index}.safetensors": dict(list(tensors.items())[index::2]) for index in (0, 1)}
    for name, part in shards.items():
        save_file(part, unet.parent / name)
    index = {"weight_map": {tensor: name for name, part in shards.items() for tensor in part}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    unet.unlink()
    assert pair.tune(folder).tensors == len(pair.base_parameters)
    assert is_tuned(pair, tuned)


def test_a_folder_with_a_half_precision_variant(pair, folder):
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {name: value.half() for name, value in load_file(unet).items()}, unet.with_suffix(".fp16.safetensors")
    )
    unet.unlink()
    assert pair.tune(folder).kind == "full"


@pytest.mark.parametrize(
    "target", ["../../secret.safetensors", "/etc/passwd", "shard.bin", "sub/shard.safetensors"]
)
def test_an_index_that_points_elsewhere(pair, folder, target):
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    index = {"weight_map": dict.fromkeys(load_file(unet), target)}
    unet.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    unet.unlink()
    assert refusal(pair, folder).reason == "unsafe_file"


@pytest.mark.parametrize("weight_map", [None, [], {"conv_in.weight": 3}])
def test_an_index_without_a_map(pair, folder, weight_map):
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"weight_map": weight_map})
    )
    unet.unlink()
    assert refusal(pair, folder).reason == "unsafe_file"


def test_an_index_that_lists_other_tensors(pair, folder):
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("shard.safetensors"))
    index = {"weight_map": {"conv_in.weight": "shard.safetensors"}}
    unet.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert refusal(pair, folder).reason == "unsafe_file"


def test_a_folder_without_text_encoder_keeps_the_bases(pair, folder):
    shutil.rmtree(folder / "text_encoder")
    change = pair.tune(folder)
    assert any("text_encoder" in note for note in change.notes)
    ours, bases = (pair.encode(["hills"], tuned=tuned)["states"] for tuned in (True, False))
    assert torch.equal(ours, bases)


def test_a_folder_of_pickles(pair, folder):
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".bin"))
    assert refusal(pair, folder).reason == "pickle_only"
    unet.with_suffix(".bin").unlink()
    assert refusal(pair, folder).reason == "no_weights"


@pytest.mark.parametrize(
    ("config", "changes", "named"),
    [
        ("unet/config.json", {"attention_head_dim": 8}, "attention_head_dim"),
        ("unet/config.json", {"norm_num_groups": 4}, "norm_num_groups"),
        ("text_encoder/config.json", {"num_attention_heads": 2}, "num_attention_heads"),
        ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, "v_prediction"),
    ],
)
def test_settings_that_no_tensor_shows(pair, folder, config, changes, named):
    edited(folder / config, **changes)
    error = refusal(pair, folder)
    assert error.reason == "does_not_fit"
    assert named in str(error)


def test_an_original_single_file(pair, tuned, tmp_path):
    write_single_file(tmp_path / "full.safetensors", tuned.unet, tuned.text_encoder, tuned.vae)
    change = pair.tune(tmp_path / "full.safetensors")
    assert is_tuned(pair, tuned)
    assert (change.kind, change.layout, change.tensors) == ("full", "file", len(pair.base_parameters))
    assert any("first_stage_model" in note for note in change.notes)


def test_a_single_file_with_what_training_leaves_in_it(pair, tuned, tmp_path):
    write_single_file(tmp_path / "full.safetensors", tuned.unet)
    extra = {
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(48),
        "alphas_cumprod": torch.zeros(1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(24)[None],
    }
    save_file({**load_file(tmp_path / "full.safetensors"), **extra}, tmp_path / "full.safetensors")
    change = pair.tune(tmp_path / "full.safetensors")
    assert len(change.notes) == 3  # The last one, of what the base predicts, because its weights are random.
    assert "text_encoder" in change.notes[1]


def test_a_unet_in_diffusers_names(pair, tuned, tmp_path):
    save_file(
        {name: value.detach() for name, value in tuned.unet.named_parameters()}, tmp_path / "unet.safetensors"
    )
    change = pair.tune(tmp_path / "unet.safetensors")
    assert (change.kind, change.layout) == ("full", "diffusers")
    assert torch.equal(pair.tuned_parameters["unet.conv_in.weight"], tuned.unet.conv_in.weight)


@pytest.mark.parametrize("layout", ["file", "diffusers"])
def test_the_same_model_in_8_bits(pair, tuned, tmp_path, layout):
    names = ldm.to_ldm(tuned.unet) if layout == "file" else dict(tuned.unet.named_parameters())
    save_file(
        {name: value.detach().to(torch.float8_e4m3fn) for name, value in names.items()},
        tmp_path / "8.safetensors",
    )
    assert pair.tune(tmp_path / "8.safetensors").layout == layout


def test_a_file_that_says_it_predicts_v(pair, tuned, tmp_path):
    save_file(ldm.to_ldm(tuned.unet), tmp_path / "v.safetensors", {"modelspec.prediction_type": "v"})
    assert refusal(pair, tmp_path / "v.safetensors").reason == "does_not_fit"
    save_file(ldm.to_ldm(tuned.unet), tmp_path / "v.safetensors", {"modelspec.prediction_type": "epsilon"})
    assert pair.tune(tmp_path / "v.safetensors").kind == "full"


WEIGHT = "model.diffusion_model.middle_block.0.in_layers.2.weight"
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (WEIGHT, None, "does_not_fit"),
        (TEXT, None, "does_not_fit"),
        (WEIGHT, torch.ones(96, 96, 1, 1), "does_not_fit"),
        (WEIGHT, torch.ones(96, 96, 3, 3, dtype=torch.int8), "unsupported_kind"),
        (WEIGHT, torch.full((96, 96, 3, 3), torch.nan), "not_finite"),
        ("model.diffusion_model.input_blocks.9.0.weight", torch.ones(4), "does_not_fit"),
        ("control_model.zero_convs.0.0.weight", torch.ones(4), "does_not_fit"),
        ("v_pred", torch.ones(1), "does_not_fit"),
        (
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
            torch.ones(4),
            "does_not_fit",
        ),
        ("cond_stage_model.model.token_embedding.weight", torch.ones(4, 4), "does_not_fit"),
    ],
)
def test_a_single_file_that_does_not_fit(pair, tuned, tmp_path, name, value, reason):
    tensors = ldm.to_ldm(tuned.unet, tuned.text_encoder)
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_file(tensors, tmp_path / "full.safetensors")
    error = refusal(pair, tmp_path / "full.safetensors")
    assert error.reason == reason
    assert (
        name in str(error)
        or "middle_block" in str(error)
        or "mid_block" in str(error)
        or "layers.0.mlp.fc1" in str(error)
    )


def test_too_large_for_the_dtype(base, tuned, tmp_path):
    half = load_pair(base, device=CPU, dtype=torch.float16)
    tensors = ldm.to_ldm(tuned.unet)
    tensors[WEIGHT] = torch.full((96, 96, 3, 3), 1e6)
    save_file(tensors, tmp_path / "full.safetensors")
    error = refusal(half, tmp_path / "full.safetensors")
    assert error.reason == "not_finite"
    assert "float32" in str(error)


def test_identical_to_the_base(pair, pipeline, base, tmp_path):
    assert refusal(pair, base).reason == "same_as_base"
    write_single_file(tmp_path / "copy.safetensors", pipeline.unet, pipeline.text_encoder)
    assert refusal(pair, tmp_path / "copy.safetensors").reason == "same_as_base"


def test_only_a_vae(pair, tuned, tmp_path):
    names = ldm.vae_names([name for name, _ in tuned.vae.named_parameters()], tuned.vae.config)
    save_file(
        {names[name]: value.detach() for name, value in tuned.vae.named_parameters()},
        tmp_path / "vae.safetensors",
    )
    assert refusal(pair, tmp_path / "vae.safetensors").reason == "does_not_fit"


def test_nothing_at_all(pair, tmp_path):
    assert refusal(pair, tmp_path / "nothing.safetensors").reason == "no_weights"


# The original layout's names

SD15 = {
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "sample_size": 64,
}


@pytest.fixture(scope="module")
def real() -> UNet2DConditionModel:
    """The UNet of Stable Diffusion 1.5, without memory."""
    with torch.device("meta"):
        return UNet2DConditionModel(**SD15)


def converted_back(module: nn.Module, names: dict[str, str], convert: object, config: object) -> None:
    own = dict(module.named_parameters())
    assert len(set(names.values())) == len(own)
    back = convert({names[name]: value for name, value in own.items()}, config)
    assert {name: tuple(value.shape) for name, value in back.items()} == {
        n: tuple(v.shape) for n, v in own.items()
    }
    assert all(back[name] is value for name, value in own.items())


def test_names_of_a_real_unet(real):
    names = ldm.unet_names([name for name, _ in real.named_parameters()], real.config)
    converted_back(real, names, convert_ldm_unet_checkpoint, real.config)
    # Spot checks against names in published files.
    prefix = "model.diffusion_model."
    assert names["down_blocks.0.downsamplers.0.conv.weight"] == f"{prefix}input_blocks.3.0.op.weight"
    assert names["up_blocks.0.upsamplers.0.conv.bias"] == f"{prefix}output_blocks.2.1.conv.bias"
    assert names["up_blocks.1.upsamplers.0.conv.bias"] == f"{prefix}output_blocks.5.2.conv.bias"
    assert (
        names["up_blocks.3.resnets.2.conv_shortcut.weight"]
        == f"{prefix}output_blocks.11.0.skip_connection.weight"
    )
    assert len(names) == 686


def test_names_of_the_tiny_unet(pipeline):
    unet = pipeline.unet
    names = ldm.unet_names([name for name, _ in unet.named_parameters()], unet.config)
    converted_back(unet, names, convert_ldm_unet_checkpoint, unet.config)


@pytest.mark.parametrize("attention", [False, True])
def test_names_of_a_vae(attention):
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=(32, 64, 64, 64),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            mid_block_add_attention=attention,
        )
        unet = UNet2DConditionModel(block_out_channels=(32, 32, 64, 64), cross_attention_dim=8)
    tensors = ldm.to_ldm(unet, vae=vae)
    back = convert_ldm_vae_checkpoint(tensors, vae.config)
    shapes = {name: tuple(value.shape) for name, value in vae.named_parameters()}
    assert {name: tuple(value.shape) for name, value in back.items() if name in shapes} == shapes
    if attention:
        assert tensors["first_stage_model.decoder.mid.attn_1.q.weight"].dim() == 4


def test_names_of_a_text_encoder(pipeline):
    own = dict(pipeline.text_encoder.named_parameters())
    names = ldm.text_names(own)
    back = convert_ldm_clip_checkpoint({names[name]: value for name, value in own.items()})
    assert {name.removeprefix("text_model."): value for name, value in back.items()} == own


def test_an_architecture_without_a_single_file_layout(real):
    with pytest.raises(LoadError, match="layers_per_block"):
        ldm.unet_names([], {**real.config, "layers_per_block": (1, 2)})
    with pytest.raises(LoadError, match="class_embedding"):
        ldm.unet_names(["class_embedding.weight"], real.config)


# Bases that cannot be loaded


def base_refusal(base: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load_pair(base, device=CPU, dtype=torch.float32)
    return caught.value


def test_a_missing_base(tmp_path):
    assert base_refusal(tmp_path / "nothing").reason == "missing_base"
    assert base_refusal(tmp_path).reason == "missing_base"


@pytest.mark.parametrize(
    "part",
    [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
    ],
)
def test_a_base_with_a_missing_part(own_base, part):
    (own_base / part).unlink()
    assert base_refusal(own_base).reason == "missing_base"


def test_a_base_of_pickles(own_base):
    weights = own_base / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert base_refusal(own_base).reason == "pickle_only"


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("model_index.json", {"_class_name": "KandinskyPipeline"}, "unsupported_family"),
        ("model_index.json", {"_class_name": ["os", "system"]}, "unsupported_family"),
        ("model_index.json", {"_class_name": None}, "unsupported_family"),
        ("unet/config.json", {"num_class_embeds": 10}, "unsupported_family"),
        ("unet/config.json", {"time_cond_proj_dim": 256}, "unsupported_family"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "unsupported_family"),
        ("unet/config.json", {"unheard_of": 1}, "unsupported_family"),
        ("unet/config.json", {"norm_num_groups": 7}, "unsupported_family"),
        ("unet/config.json", {"norm_num_groups": 0}, "unsupported_family"),
        ("unet/config.json", {"in_channels": 9}, "does_not_fit"),
        ("unet/config.json", {"sample_size": None}, "unsupported_family"),
        ("unet/config.json", {"layers_per_block": 2}, "does_not_fit"),
        ("unet/config.json", {"layers_per_block": 10**6}, "unsafe_file"),
        ("unet/config.json", {"block_out_channels": [48, 10**9]}, "unsafe_file"),
        ("unet/config.json", {"down_block_types": ["Nonsense", "DownBlock2D"]}, "unsupported_family"),
        ("text_encoder/config.json", {"hidden_act": "os.system"}, "unsupported_family"),
        ("text_encoder/config.json", {"num_hidden_layers": 3}, "does_not_fit"),
        ("text_encoder/config.json", {"hidden_size": "64"}, "unsupported_family"),
        ("vae/config.json", {"latent_channels": 4}, "does_not_fit"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "unsupported_family"),
    ],
)
def test_a_base_with_other_settings(own_base, part, changes, reason):
    edited(own_base / part, **changes)
    assert base_refusal(own_base).reason == reason


def test_a_base_with_broken_files(own_base):
    weights = own_base / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "conv_in.weight": torch.full_like(tensors["conv_in.weight"], torch.nan)}, weights)
    assert base_refusal(own_base).reason == "not_finite"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert base_refusal(own_base).reason == "unsafe_file"
    (own_base / "unet" / "config.json").write_text("{")
    assert base_refusal(own_base).reason == "unsafe_file"
    (own_base / "model_index.json").write_bytes(b" " * 5_000_000)
    assert base_refusal(own_base).reason == "unsafe_file"


def test_a_tokenizer_of_another_model(own_base):
    words = own_base / "tokenizer" / "tokenizer.json"
    content = json.loads(words.read_text())
    content["model"]["vocab"] |= {f"another{number}": 10_000 + number for number in range(5)}
    words.write_text(json.dumps(content))
    assert base_refusal(own_base).reason == "does_not_fit"


def test_a_broken_tokenizer(own_base):
    (own_base / "tokenizer" / "tokenizer.json").write_text("{}")
    assert base_refusal(own_base).reason == "missing_base"


def test_a_base_that_predicts_v(own_base):
    edited(own_base / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    assert load_pair(own_base, device=CPU, dtype=torch.float32).prediction_type == "v_prediction"


def test_a_base_of_2022(own_base, pair):
    """The VAE's attention had other names then, the text encoder a prefix and position_ids."""
    with torch.device("cpu"):
        vae = AutoencoderKL(
            **{**json.loads((own_base / "vae/config.json").read_text()), "mid_block_add_attention": True}
        )
    spelled = {}
    for name, value in vae.state_dict().items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        spelled[name] = value
    save_file(spelled, own_base / "vae" / "diffusion_pytorch_model.safetensors")
    edited(own_base / "vae/config.json", mid_block_add_attention=True)
    old = load_pair(own_base, device=CPU, dtype=torch.float32)
    with torch.no_grad():
        decoded = vae.decode(LATENTS / vae.config.scaling_factor).sample
    reference = decoded.add(1).mul(127.5).round().clamp(0, 255)
    torch.testing.assert_close(old.decode(LATENTS).float(), reference, atol=1, rtol=0)
