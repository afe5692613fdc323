"""Adapters in the spellings of every family, against diffusers' own loading where it reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from fakes_adapters import assert_merged, fused_by_diffusers, loaded, pairs
from fakes_flow import flux_pipeline, sd3_pipeline
from safetensors.torch import save_file
from torch import Tensor

from extraction.adapters.places import Places
from extraction.extraction import LoadError
from extraction.pair import Pair


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair]:
    folder = tmp_path_factory.mktemp("flux")
    return loaded(flux_pipeline(folder / "words"), folder / "base")


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("sd3")
    return loaded(sd3_pipeline(folder / "words"), folder / "base")[1]


def product(tensors: dict[str, Tensor], name: str) -> Tensor:
    return tensors[f"{name}.lora_up.weight"] @ tensors[f"{name}.lora_down.weight"] * 2 / 4


DOUBLE = {
    "img_attn_qkv": (192, 64),
    "txt_attn_qkv": (192, 64),
    "img_attn_proj": (64, 64),
    "txt_attn_proj": (64, 64),
    "img_mlp_0": (256, 64),
    "img_mlp_2": (64, 256),
    "txt_mlp_0": (256, 64),
    "txt_mlp_2": (64, 256),
    "img_mod_lin": (384, 64),
    "txt_mod_lin": (384, 64),
}


def kohya_flux() -> dict[str, Tensor]:
    shapes = {f"lora_unet_double_blocks_{b}_{name}": shape for b in (0, 1) for name, shape in DOUBLE.items()}
    return pairs(shapes, ".lora_down.weight", ".lora_up.weight")


def xlabs_flux() -> dict[str, Tensor]:
    shapes = {
        f"double_blocks.{b}.processor.{which}_lora{stream}": (192 if which == "qkv" else 64, 64)
        for b in (0, 1)
        for which in ("qkv", "proj")
        for stream in (1, 2)
    }
    return pairs(shapes, ".down.weight", ".up.weight", alpha=None)


def diffusers_flux() -> dict[str, Tensor]:
    shapes = {
        "transformer.transformer_blocks.0.attn.to_q": (64, 64),
        "transformer.transformer_blocks.1.attn.to_out.0": (64, 64),
        "transformer.single_transformer_blocks.1.proj_out": (64, 320),
        "transformer.x_embedder": (64, 16),
    }
    return pairs(shapes, ".lora_A.weight", ".lora_B.weight", alpha=None)


@pytest.mark.parametrize(
    ("file", "layout", "changed"),
    [(kohya_flux, "kohya", 28), (xlabs_flux, "xlabs", 16), (diffusers_flux, "diffusers", 4)],
)
def test_flux_as_diffusers_merges_it(
    flux: tuple[Path, Pair], tmp_path: Path, file: Callable[[], dict[str, Tensor]], layout: str, changed: int
) -> None:
    base, pair = flux
    save_file(file(), tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").layout == layout
    assert_merged(pair, fused_by_diffusers(FluxPipeline, base, tmp_path / "lora.safetensors"), changed)


def test_flux_in_ai_toolkits_names_and_kohyas_are_one(flux, tmp_path):
    _, pair = flux
    kohya = kohya_flux()
    theirs = {}
    for name, value in kohya.items():
        if not name.endswith(".alpha"):
            layer, _, part = name.removeprefix("lora_unet_").partition(".")
            path = layer.replace("double_blocks_", "double_blocks.").replace("_attn_", "_attn.")
            for which in ("img_", "txt_"):
                path = path.replace(f"_{which}", f".{which}")
            path = path.replace("_mlp_", "_mlp.").replace("_mod_", "_mod.")
            which = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}[part]
            # Without an alpha the strength is 1, with kohya's 2 at rank 4 it is one half.
            theirs[f"diffusion_model.{path}.{which}"] = value * 0.5 if "up" in part else value
    save_file(kohya, tmp_path / "kohya.safetensors")
    save_file(theirs, tmp_path / "ai-toolkit.safetensors")
    changes = [pair.tune(tmp_path / f"{name}.safetensors") for name in ("kohya", "ai-toolkit")]
    assert [change.layout for change in changes] == ["kohya", "original"]
    assert changes[0].tensors == changes[1].tensors == 28
    assert changes[0].relative_change == pytest.approx(changes[1].relative_change)


def test_rows_of_a_stack_go_to_their_layers(flux, tmp_path):
    """FLUX's single block makes query, key, value and feed-forward in one layer, in this order."""
    _, pair = flux
    name = "lora_unet_single_blocks_0_linear1"
    tensors = pairs({name: (448, 64)}, ".lora_down.weight", ".lora_up.weight")
    save_file(tensors, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 4
    block = "transformer.single_transformer_blocks.0"
    layers = [f"{block}.{layer}.weight" for layer in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")]
    ours = [pair.tuned_parameters[layer] - pair.base_parameters[layer] for layer in layers]
    torch.testing.assert_close(torch.cat(ours), product(tensors, name))


@pytest.mark.parametrize("part", ["lora", "dora"])
def test_halves_that_the_original_layout_swaps(flux, tmp_path, part):
    _, pair = flux
    name, layer = "lora_unet_final_layer_adaLN_modulation_1", "transformer.norm_out.linear.weight"
    tensors = pairs({name: (128, 64)}, ".lora_down.weight", ".lora_up.weight")
    base = pair.base_parameters[layer]
    shift_first = torch.cat([base[64:], base[:64]])
    changed = shift_first + product(tensors, name)
    if part == "dora":
        magnitude = torch.arange(1.0, 129.0)[:, None]
        tensors[f"{name}.dora_scale"] = magnitude
        changed = changed * magnitude / changed.norm(dim=1, keepdim=True)
    save_file(tensors, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").kind == part
    scale_first = torch.cat([changed[64:], changed[:64]])
    torch.testing.assert_close(pair.tuned_parameters[layer], scale_first, rtol=1e-5, atol=1e-6)


def test_sd3_in_kohyas_names(sd3, tmp_path):
    names = {
        "lora_unet_joint_blocks_0_context_block_attn_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
        "lora_unet_joint_blocks_1_x_block_attn_qkv": ("to_q", "to_k", "to_v"),
        "lora_unet_joint_blocks_0_x_block_attn2_proj": ("to_out.0",),
    }
    shapes = {name: (64 * len(layers), 64) for name, layers in names.items()}
    tensors = pairs(shapes, ".lora_down.weight", ".lora_up.weight")
    encoders = {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1": (48, 24),
        "lora_te2_text_model_encoder_layers_1_self_attn_q_proj": (16, 16),
    }
    encoders = {
        name: sd3.original.layers[layer]
        for name, layer in zip(
            encoders,
            ("text_encoder.encoder.layers.0.mlp.fc1", "text_encoder_2.encoder.layers.1.self_attn.q_proj"),
            strict=True,
        )
    }
    tensors |= pairs(encoders, ".lora_down.weight", ".lora_up.weight")
    save_file(tensors, tmp_path / "lora.safetensors")
    assert sd3.tune(tmp_path / "lora.safetensors").tensors == 9
    for name, layers in names.items():
        attention = "attn2" if "attn2" in name else "attn"
        block = f"transformer.transformer_blocks.{name.split('_')[4]}.{attention}"
        ours = [
            sd3.tuned_parameters[f"{block}.{layer}.weight"] - sd3.base_parameters[f"{block}.{layer}.weight"]
            for layer in layers
        ]
        torch.testing.assert_close(torch.cat(ours), product(tensors, name), rtol=1e-4, atol=1e-6)


def test_a_stack_and_a_layer_of_it(flux, tmp_path):
    _, pair = flux
    tensors = kohya_flux() | pairs(
        {"transformer.transformer_blocks.0.attn.to_k": (64, 64)}, ".lora_A.weight", ".lora_B.weight", None
    )
    save_file(tensors, tmp_path / "twice.safetensors")
    with pytest.raises(LoadError, match="one layer twice"):
        pair.tune(tmp_path / "twice.safetensors")


def test_families_mixed_in_one_file(flux, tmp_path):
    _, pair = flux
    other = {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (64, 64)}
    save_file(
        kohya_flux() | pairs(other, ".lora_down.weight", ".lora_up.weight"), tmp_path / "mixed.safetensors"
    )
    with pytest.raises(LoadError, match="for a Stable Diffusion") as caught:
        pair.tune(tmp_path / "mixed.safetensors")
    assert caught.value.reason == "does_not_fit"


def test_a_part_that_is_kept_as_the_base_has_it(flux, tmp_path):
    """OneTrainer also trains FLUX's T5, which is not among what a fine-tune may change."""
    _, pair = flux
    name = "lora_te2_encoder_block_0_layer_0_SelfAttention_q"
    small = pairs({name: (8, 8)}, ".lora_down.weight", ".lora_up.weight")
    save_file(kohya_flux() | small, tmp_path / "small.safetensors")
    assert "3 tensors" in pair.tune(tmp_path / "small.safetensors").notes[0]
    large = pairs({name: (800, 800)}, ".lora_down.weight", ".lora_up.weight")
    save_file(kohya_flux() | large, tmp_path / "large.safetensors")
    with pytest.raises(LoadError, match="SelfAttention_q") as caught:
        pair.tune(tmp_path / "large.safetensors")
    assert caught.value.reason == "does_not_fit"


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lora_transformer_single_transformer_blocks_1_attn_to_k", 1),
        ("diffusion_model.single_blocks.1.linear1", 4),
        ("base_model.model.transformer_blocks.0.attn.to_q", 1),
        ("transformer.base_model.model.transformer_blocks.0.attn.to_q", 1),
        ("model.diffusion_model.img_in", 1),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1", 1),
        ("text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1", 1),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", 1),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 0),
        ("lora_unet_down_blocks_0_resnets_0_conv1", 0),
        ("nowhere", 0),
        ("", 0),
    ],
)
def test_places(flux, name, layers):
    place = Places(flux[1].original).find(name)
    assert (0 if place is None else len(place.layers)) == layers
