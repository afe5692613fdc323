"""How strong an adapter is, where peft's configs say it: in folders and in headers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from fakes_models import random_lora, random_pipeline
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from extraction.adapters.strength import Config
from extraction.extraction import LoadError
from extraction.families import load_pair
from extraction.pair import Pair
from leaksweep.zoo import formats
from leaksweep.zoo.formats import Layer, Lora

TARGETS = ("attn1.to_q", "ff.net", "proj_in", "conv1", "q_proj", "mlp.fc1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strength-base")
    random_pipeline(folder / "vocabulary").save_pretrained(folder / "base")
    return folder / "base"


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return load_pair(base, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def lora(pair: Pair) -> Lora:
    """Convolutions and the text encoder included; two ranks, two alphas."""
    layers = pair.original.layers
    chosen = {name: shape for name, shape in layers.items() if any(target in name for target in TARGETS)}
    wide = {name: shape for name, shape in layers.items() if ".attn2." in name}
    return {**random_lora(chosen), **random_lora(wide, rank=6, alpha=5.0, seed=2)}


def unet_only(lora: Lora) -> Lora:
    return {name: layer for name, layer in lora.items() if name.startswith("unet.")}


def refusal(pair: Pair, path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        pair.tune(path)
    return caught.value


def test_a_folder_merges_as_pefts_own(pair, lora, base, tmp_path):
    formats.write_peft(tmp_path, unet_only(lora))
    unet = UNet2DConditionModel.from_pretrained(base / "unet", local_files_only=True)
    wrapped = PeftModel.from_pretrained(unet, str(tmp_path))
    assert pair.tune(tmp_path).layout == "peft"
    for name, value in wrapped.merge_and_unload().named_parameters():
        torch.testing.assert_close(pair.tuned_parameters[f"unet.{name}"], value.data)


def test_peft_folders_of_two_components(pair, lora, tmp_path):
    text = {name: layer for name, layer in lora.items() if name.startswith("text_encoder.")}
    formats.write_peft(tmp_path / "unet", unet_only(lora))
    formats.write_peft(tmp_path / "text_encoder", text)
    two = pair.tune(tmp_path)
    expected = {name: value.clone() for name, value in pair.tuned_parameters.items()}
    formats.write_kohya(tmp_path / "both.safetensors", lora)
    kohya_change = pair.tune(tmp_path / "both.safetensors")
    assert two.tensors == kohya_change.tensors
    torch.testing.assert_close(pair.tuned_parameters, expected)
    with pytest.raises(ValueError, match="one component"):
        formats.write_peft(tmp_path / "mixed", lora)


def test_rank_stabilised_scale(pair, lora, tmp_path):
    formats.write_peft(tmp_path, unet_only(lora))
    plain = pair.tune(tmp_path).relative_change
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    assert 2.0 <= pair.tune(tmp_path).relative_change / plain <= 6**0.5


def test_pefts_names_without_pefts_config(pair, lora, tmp_path):
    formats.write_peft(tmp_path, unet_only(lora))
    error = refusal(pair, tmp_path / "adapter_model.safetensors")
    assert error.reason == "unsupported_kind"
    assert "adapter_config.json" in str(error)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"use_dora": True}, "does_not_fit"),
        ({"peft_type": "OFT"}, "unsupported_kind"),
        ({"use_dora": "yes"}, "unsupported_kind"),
        ({"bias": "all"}, "unsupported_kind"),
        ({"fan_in_fan_out": True}, "unsupported_kind"),
        ({"init_lora_weights": "pissa"}, "unsupported_kind"),
        ({"modules_to_save": ["conv_in"]}, "unsupported_kind"),
        ({"r": "8"}, "unsupported_kind"),
        ({"r": True}, "unsupported_kind"),
        ({"lora_alpha": 0}, "unsupported_kind"),
        ({"lora_alpha": float("inf")}, "unsupported_kind"),
        ({"rank_pattern": [4]}, "unsupported_kind"),
        ({"rank_pattern": {"(a+)+$": 4}}, "unsupported_kind"),
        ({"use_rslora": 1}, "unsupported_kind"),
        ({"r": 5, "rank_pattern": {}}, "does_not_fit"),
    ],
)
def test_pefts_settings(pair, lora, tmp_path, fields, reason):
    formats.write_peft(tmp_path, unet_only(lora))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | fields))
    assert refusal(pair, tmp_path).reason == reason


def test_a_peft_folder_for_another_model(pair, tmp_path):
    formats.write_peft(tmp_path, {"unet.encoder.block.0": Layer(torch.ones(4, 8), torch.ones(8, 4), 4.0)})
    assert refusal(pair, tmp_path).reason == "does_not_fit"


def test_folders_without_weights(pair, lora, tmp_path):
    assert refusal(pair, tmp_path).reason == "no_weights"
    formats.write_peft(tmp_path, unet_only(lora))
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    assert refusal(pair, tmp_path).reason == "pickle_only"
    (tmp_path / "adapter_config.json").unlink()
    assert refusal(pair, tmp_path).reason == "pickle_only"


@pytest.mark.parametrize("text", ["no json", "[]", '{"unet.r": 4, "unet.bias": "all"}'])
def test_the_headers_config_of_diffusers(pair, lora, tmp_path, text):
    formats.write_diffusers(tmp_path / "header.safetensors", lora)
    save_file(
        load_file(tmp_path / "header.safetensors"),
        tmp_path / "header.safetensors",
        {"lora_adapter_metadata": text},
    )
    assert refusal(pair, tmp_path / "header.safetensors").reason == "unsupported_kind"


def test_alphas_given_twice(pair, lora, tmp_path):
    formats.write_diffusers(tmp_path / "twice.safetensors", lora)
    tensors = load_file(tmp_path / "twice.safetensors")
    name = next(name for name in tensors if name.startswith("unet.")).partition(".lora_")[0]
    tensors[f"{name}.alpha"] = torch.tensor(1.0)
    with safe_open(tmp_path / "twice.safetensors", "pt") as file:
        header = file.metadata()
    save_file(tensors, tmp_path / "twice.safetensors", header)
    assert refusal(pair, tmp_path / "twice.safetensors").reason == "unsupported_kind"


def test_patterns_name_the_end_of_a_path():
    fields = {
        "r": 8,
        "lora_alpha": 4,
        "rank_pattern": {"^conv_in": 2, "to_q": 16},
        "alpha_pattern": {"to_q": 8},
    }
    config = Config.parse(fields)
    assert config.scale("down.attn1.to_q", 16) == 0.5
    assert config.scale("down.conv_in", 8) == 0.5
    assert config.scale("conv_in", 2) == 2.0
    with pytest.raises(LoadError, match="rank 8"):
        config.scale("auto_q.to_q", 8)
    assert config.scale("down.auto_q", 8) == 0.5
