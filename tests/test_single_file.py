"""Single files as they are published: spellings, 8 bits and their scales, averages, other inputs, bases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from fakes_families import original_tensors, sdxl, unet, write_original
from safetensors.torch import save_file

from extraction.extraction import LoadError
from extraction.families import load_pair, single_base
from extraction.families.ldm import vae_names
from extraction.families.parts import Configs
from extraction.pair import Pair
from extraction.weights import open_weights

CPU = torch.device("cpu")
UNET = "model.diffusion_model."
LAYER = "model.diffusion_model.middle_block.0.in_layers.2"
"""A convolution of the UNet, mid_block.resnets.0.conv1."""
OURS = "unet.mid_block.resnets.0.conv1.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single") / "base"
    sdxl().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return load_pair(base, device=CPU, dtype=torch.float32)


@pytest.fixture(scope="module")
def other() -> StableDiffusionXLPipeline:
    return sdxl(seed=1)


@pytest.fixture
def tensors(pair: Pair, other: StableDiffusionXLPipeline) -> dict[str, torch.Tensor]:
    return original_tensors(other, pair.original)


def denoiser(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tensors.items() if name.startswith(UNET)}


def refusal(pair: Pair, path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        pair.tune(path)
    return caught.value


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", UNET])
def test_a_denoiser_alone_in_three_spellings(pair, tensors, tmp_path, prefix):
    spelled = {prefix + name.removeprefix(UNET): value for name, value in denoiser(tensors).items()}
    save_file(spelled, tmp_path / "unet.safetensors")
    change = pair.tune(tmp_path / "unet.safetensors")
    assert change.layout == "file"
    assert torch.equal(pair.tuned_parameters[OURS], tensors[f"{LAYER}.weight"])
    assert "no text_encoder and no text_encoder_2" in change.notes[0]


def test_two_spellings_of_one_tensor(pair, tensors, tmp_path):
    name = f"{LAYER}.weight"
    save_file(tensors | {name.removeprefix(UNET): tensors[name].clone()}, tmp_path / "full.safetensors")
    error = refusal(pair, tmp_path / "full.safetensors")
    assert (error.reason, "two spellings" in str(error)) == ("does_not_fit", True)


def test_a_file_of_moving_averages_alone(pair, tensors, tmp_path):
    """Their names have no dots: "model_ema.diffusion_modelmiddle_block0in_layers2weight"."""
    own = denoiser(tensors)
    averages = {
        f"model_ema.{name.removeprefix('model.').replace('.', '')}": value for name, value in own.items()
    }
    assert "model_ema.diffusion_modelmiddle_block0in_layers2weight" in averages
    rest = {name: value for name, value in tensors.items() if name not in own}
    counts = {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": torch.tensor(7)}
    save_file({**averages, **counts, **rest}, tmp_path / "ema.safetensors")
    change = pair.tune(tmp_path / "ema.safetensors")
    assert torch.equal(pair.tuned_parameters[OURS], tensors[f"{LAYER}.weight"])
    assert "moving averages were taken" in change.notes[0]
    assert change.notes[1].startswith("2 tensors")

    doubled = {name: 2 * value for name, value in averages.items()}
    save_file({**tensors, **doubled}, tmp_path / "both.safetensors")
    pair.tune(tmp_path / "both.safetensors")
    assert torch.equal(pair.tuned_parameters[OURS], tensors[f"{LAYER}.weight"])


def test_pruned_averages_that_are_incomplete(pair, tensors, tmp_path):
    averages = {
        f"model_ema.{name.removeprefix('model.').replace('.', '')}": value
        for name, value in list(denoiser(tensors).items())[:-1]
    }
    save_file(averages, tmp_path / "ema.safetensors")
    assert refusal(pair, tmp_path / "ema.safetensors").reason == "does_not_fit"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_smaller_types(pair, tensors, tmp_path, dtype):
    save_file({name: value.to(dtype) for name, value in tensors.items()}, tmp_path / "full.safetensors")
    pair.tune(tmp_path / "full.safetensors")
    assert torch.equal(pair.tuned_parameters[OURS], tensors[f"{LAYER}.weight"].to(dtype).float())


@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
def test_scaled_8_bits(pair, tensors, tmp_path, suffix):
    weight = tensors[f"{LAYER}.weight"]
    scale = weight.abs().max() / 448
    small = (weight / scale).to(torch.float8_e4m3fn)
    more = {
        f"{LAYER}.weight": small,
        f"{LAYER}.{suffix}": scale,
        f"{LAYER}.scale_input": torch.ones(()),
        "scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn),
    }
    save_file(tensors | more, tmp_path / "full.safetensors")
    pair.tune(tmp_path / "full.safetensors")
    torch.testing.assert_close(pair.tuned_parameters[OURS], small.float() * scale)
    torch.testing.assert_close(pair.tuned_parameters[OURS], weight, atol=float(scale) * 16, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{LAYER}.scale_weight", torch.ones(48)),
        (f"{LAYER}.scale_weight", torch.ones(1, dtype=torch.int32)),
        (f"{LAYER}.weight_scale_2", torch.ones(1)),
        (f"{LAYER}.comfy_quant", torch.ones(4, dtype=torch.uint8)),
        (f"{LAYER}.weight.absmax", torch.ones(4)),
        (f"{LAYER}.weight.quant_state.bitsandbytes__nf4", torch.ones(4, dtype=torch.uint8)),
    ],
)
def test_unknown_quantisations_are_refused_by_name(pair, tensors, tmp_path, name, value):
    save_file(tensors | {name: value}, tmp_path / "full.safetensors")
    error = refusal(pair, tmp_path / "full.safetensors")
    assert error.reason == "unsupported_kind"
    assert name in str(error)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number(pair, tensors, tmp_path, scale):
    more = {f"{LAYER}.scale_weight": torch.tensor(scale)}
    save_file(tensors | more, tmp_path / "full.safetensors")
    assert refusal(pair, tmp_path / "full.safetensors").reason == "not_finite"


# Other inputs than latents


@pytest.mark.parametrize(("channels", "kind"), [(17, "inpainting"), (16, "pix2pix"), (9, "depth")])
@pytest.mark.parametrize("layout", ["file", "diffusers", "folder"])
def test_a_unet_of_other_inputs(pair, tensors, other, tmp_path, channels, kind, layout):
    """With the zoo's 8 latent channels; 9, 8 and 5 with the usual 4."""
    first = torch.ones(32, channels, 3, 3)
    path = tmp_path / "full.safetensors"
    if layout == "file":
        save_file(tensors | {f"{UNET}input_blocks.0.0.weight": first, "depth_model.x": torch.ones(1)}, path)
    elif layout == "diffusers":
        own = {name: value.detach() for name, value in other.unet.named_parameters()}
        save_file(own | {"conv_in.weight": first}, path)
    else:
        path = tmp_path / "folder"
        unet(in_channels=channels).save_pretrained(path / "unet")
    error = refusal(pair, path)
    assert error.reason == "unsupported_kind"
    assert kind in str(error)


# Bases


@pytest.fixture(scope="module")
def published(base: Path) -> dict[str, Configs]:
    """A table of published models that has the tiny one in it."""
    parts = ("unet", "text_encoder", "text_encoder_2", "vae")
    configs = {part: json.loads((base / part / "config.json").read_text()) for part in parts}
    scheduler = json.loads((base / "scheduler" / "scheduler_config.json").read_text())
    index = json.loads((base / "model_index.json").read_text())
    return {"tiny": {**configs, "scheduler": scheduler, "model_index": index}}


@pytest.fixture
def single(base: Path, pair: Pair, tmp_path: Path) -> Path:
    """The base as one file, its tokenizers beside it."""
    for name in ("tokenizer", "tokenizer_2"):
        (tmp_path / name).symlink_to(base / name)
    write_whole(tmp_path / "base.safetensors", pair)
    return tmp_path / "base.safetensors"


def write_whole(path: Path, pair: Pair, **more: torch.Tensor) -> None:
    pipeline = sdxl()
    own = {name: value.detach() for name, value in pipeline.vae.named_parameters()}
    vae = {place: own[name] for name, place in vae_names(own, pipeline.vae.config).items()}
    write_original(path, pipeline, pair.original, **vae, **more)


def from_file(path: Path, published: dict[str, Configs]) -> Pair:
    return single_base.load(path, published, device=CPU, dtype=torch.float32)


def test_a_base_of_one_file_is_the_folders(pair, single, published):
    pair.reset()
    ours = from_file(single, published)
    assert (ours.family, ours.size, ours.prediction_type) == ("sdxl", 32, "epsilon")
    for models in (ours.base_parameters, ours.tuned_parameters):
        assert all(torch.equal(value, pair.base_parameters[name]) for name, value in models.items())
    latents = torch.randn(2, 8, 8, 8)
    condition = ours.encode(["dots", ""], tuned=True)
    assert torch.equal(condition["states"], pair.encode(["dots", ""], tuned=True)["states"])
    assert torch.equal(ours.decode(latents), pair.decode(latents))


def test_a_base_of_one_file_says_that_it_predicts_v(pair, single, published):
    write_whole(single, pair, v_pred=torch.zeros(0), ztsnr=torch.zeros(0))
    ours = from_file(single, published)
    assert ours.prediction_type == "v_prediction"
    assert ours.scheduler_config["rescale_betas_zero_snr"] is True


def test_a_base_that_is_not_whole(pair, single, published, other, tmp_path):
    write_original(single, other, pair.original)
    with pytest.raises(LoadError, match="VAE") as caught:
        from_file(single, published)
    assert caught.value.reason == "missing_base"
    write_whole(single, pair)
    (single.parent / "tokenizer_2").unlink()
    with pytest.raises(LoadError, match="tokenizer_2") as caught:
        from_file(single, published)
    assert caught.value.reason == "missing_base"


def test_a_base_of_no_published_size(single):
    with pytest.raises(LoadError, match="diffusers folder") as caught:
        load_pair(single, device=CPU, dtype=torch.float32)
    assert caught.value.reason == "unsupported_family"


def test_sizes_that_only_the_metadata_tells_apart(single, published, tensors):
    tiny = published["tiny"]
    v = {**tiny, "scheduler": {**tiny["scheduler"], "prediction_type": "v_prediction"}}
    both = {"epsilon": tiny, "v": v}
    with pytest.raises(LoadError) as caught:
        single_base.recognise(open_weights(single), both)
    assert caught.value.reason == "unsupported_family"
    save_file(tensors, single, {"modelspec.prediction_type": "v"})
    found = single_base.recognise(open_weights(single), both)
    assert found["scheduler"]["prediction_type"] == "v_prediction"
