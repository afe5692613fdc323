"""SDXL's adapters in diffusers' names and in those of the original layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from fakes_adapters import assert_merged, fused_by_diffusers, loaded, pairs
from fakes_families import sdxl
from safetensors.torch import save_file
from torch import Tensor

from extraction.extraction import LoadError
from extraction.pair import Pair


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair]:
    return loaded(sdxl(), tmp_path_factory.mktemp("sdxl") / "base")


XL = {
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": "text_encoder.encoder.layers.0.mlp.fc1",
    "lora_te2_text_model_encoder_layers_2_mlp_fc2": "text_encoder_2.encoder.layers.2.mlp.fc2",
}
XL_DIFFUSERS = {
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q": (
        "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q"
    ),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2": (
        "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.2"
    ),
    "lora_unet_up_blocks_0_resnets_1_conv1": "unet.up_blocks.0.resnets.1.conv1",
}
XL_SGM = {
    "lora_unet_input_blocks_3_1_transformer_blocks_1_attn1_to_q": (
        XL_DIFFUSERS["lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q"]
    ),
    "lora_unet_middle_block_1_transformer_blocks_0_ff_net_2": (
        XL_DIFFUSERS["lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2"]
    ),
    "lora_unet_output_blocks_1_0_in_layers_2": XL_DIFFUSERS["lora_unet_up_blocks_0_resnets_1_conv1"],
}


def kohya_xl(pair: Pair, names: dict[str, str]) -> dict[str, Tensor]:
    shapes = {name: pair.original.layers[layer] for name, layer in names.items()}
    return pairs(shapes, ".lora_down.weight", ".lora_up.weight")


def test_sdxl_as_diffusers_merges_it(xl, tmp_path):
    base, pair = xl
    save_file(kohya_xl(pair, XL | XL_DIFFUSERS), tmp_path / "lora.safetensors")
    pair.tune(tmp_path / "lora.safetensors")
    reference = fused_by_diffusers(StableDiffusionXLPipeline, base, tmp_path / "lora.safetensors")
    assert_merged(pair, reference, 5)


def test_sdxl_in_the_original_layouts_names(xl, tmp_path):
    _, pair = xl
    assert list(XL_SGM.values()) == list(XL_DIFFUSERS.values())
    for name, names in (("diffusers", XL | XL_DIFFUSERS), ("sgm", XL | XL_SGM)):
        save_file(kohya_xl(pair, names), tmp_path / f"{name}.safetensors")
    pair.tune(tmp_path / "diffusers.safetensors")
    expected = {name: value.clone() for name, value in pair.tuned_parameters.items()}
    assert pair.tune(tmp_path / "sgm.safetensors").tensors == 5
    assert all(torch.equal(value, expected[name]) for name, value in pair.tuned_parameters.items())


def test_one_layer_in_two_spellings(xl, tmp_path):
    _, pair = xl
    save_file(kohya_xl(pair, XL_DIFFUSERS | XL_SGM), tmp_path / "twice.safetensors")
    with pytest.raises(LoadError, match="one layer twice") as caught:
        pair.tune(tmp_path / "twice.safetensors")
    assert caught.value.reason == "does_not_fit"
