"""LoRA files in every layout: read as diffusers and peft read them, refused where they are not certain."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from fakes_models import random_lora, random_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from extraction.adapters.places import kohya_name
from extraction.adapters.strength import Config
from extraction.extraction import LoadError
from extraction.families import load_pair
from extraction.pair import Pair
from leaksweep.zoo import formats
from leaksweep.zoo.formats import Layer, Lora

TARGETS = (
    "attn",
    "ff.net",
    "proj_in",
    "proj_out",
    "conv1",
    "conv2",
    "conv_shortcut",
    "q_proj",
    "out_proj",
    "mlp.fc1",
)
LATENTS = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(5))
TIMESTEP = torch.tensor(500)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters-base")
    random_pipeline(folder / "vocabulary").save_pretrained(folder / "base")
    return folder / "base"


@pytest.fixture(scope="session")
def pair(base: Path) -> Pair:
    return load_pair(base, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="session")
def layers(pair: Pair) -> dict[str, tuple[int, ...]]:
    return dict(pair.original.layers)


@pytest.fixture(scope="session")
def lora(layers: dict[str, tuple[int, ...]]) -> Lora:
    """Convolutions and the text encoder included; several ranks, several alphas."""
    chosen = {name: shape for name, shape in layers.items() if any(target in name for target in TARGETS)}
    text = {name: shape for name, shape in chosen.items() if name.startswith("text_encoder.")}
    wide = {name: shape for name, shape in chosen.items() if ".attn2." in name}
    return {
        **random_lora(chosen),
        **random_lora(text, alpha=6.0),
        **random_lora(wide, rank=6, alpha=5.0, seed=2),
    }


@pytest.fixture
def pipeline(base: Path) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(base, dtype=torch.float32, local_files_only=True)


def ours(pair: Pair, *, tuned: bool = True) -> tuple[Tensor, Tensor]:
    condition = pair.encode(["a picture of hills", ""], tuned=tuned)
    return condition["states"], pair.predict(LATENTS, TIMESTEP, condition, tuned=tuned)


@torch.no_grad()
def theirs(pipeline: StableDiffusionPipeline) -> tuple[Tensor, Tensor]:
    tokenizer = pipeline.tokenizer
    ids = tokenizer(
        ["a picture of hills", ""],
        padding="max_length",
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    condition = pipeline.text_encoder(ids).last_hidden_state
    return condition, pipeline.unet(LATENTS, TIMESTEP, condition).sample


def unet_only(lora: Lora) -> Lora:
    return {name: layer for name, layer in lora.items() if name.startswith("unet.")}


def refusal(pair: Pair, path: Path) -> LoadError:
    with pytest.raises(LoadError) as caught:
        pair.tune(path)
    assert all(
        torch.equal(value, pair.base_parameters[name]) for name, value in pair.tuned_parameters.items()
    )
    return caught.value


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_the_prediction_is_diffusers_own(pair, lora, pipeline, tmp_path, layout):
    path = tmp_path / "pytorch_lora_weights.safetensors"
    if layout == "kohya":
        # diffusers looks some alphas of this layout up under a wrong name: equal ones hide that.
        lora = {name: layer._replace(alpha=3.0) for name, layer in lora.items()}
    {"kohya": formats.write_kohya, "diffusers": formats.write_diffusers}[layout](path, lora)
    pipeline.load_lora_weights(tmp_path, weight_name=path.name, local_files_only=True)
    change = pair.tune(path)
    assert (change.kind, change.layout, change.tensors) == ("lora", layout, len(lora))
    for mine, reference, before in zip(ours(pair), theirs(pipeline), ours(pair, tuned=False), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-4)
        assert (mine - before).abs().max() > 1e-2


def test_a_folder_with_diffusers_lora_file(pair, lora, tmp_path):
    formats.write_diffusers(tmp_path / "pytorch_lora_weights.safetensors", lora)
    assert pair.tune(tmp_path).layout == "diffusers"


def test_the_prediction_is_pefts_own(pair, lora, base, tmp_path):
    formats.write_peft(tmp_path, unet_only(lora))
    unet = UNet2DConditionModel.from_pretrained(base / "unet", local_files_only=True)
    wrapped = PeftModel.from_pretrained(unet, str(tmp_path))
    assert pair.tune(tmp_path).layout == "peft"
    condition, mine = ours(pair)
    with torch.no_grad():
        reference = wrapped(LATENTS, TIMESTEP, condition).sample
    torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-4)


def test_peft_folders_of_two_components(pair, lora, tmp_path):
    text = {name: layer for name, layer in lora.items() if name.startswith("text_encoder.")}
    formats.write_peft(tmp_path / "unet", unet_only(lora))
    formats.write_peft(tmp_path / "text_encoder", text)
    peft = pair.tune(tmp_path), ours(pair)
    formats.write_kohya(tmp_path / "both.safetensors", lora)
    kohya_change = pair.tune(tmp_path / "both.safetensors")
    assert peft[0].tensors == kohya_change.tensors
    torch.testing.assert_close(peft[1], ours(pair))
    with pytest.raises(ValueError, match="one component"):
        formats.write_peft(tmp_path / "mixed", lora)


def test_rank_stabilised_scale(pair, lora, tmp_path):
    formats.write_peft(tmp_path, unet_only(lora))
    plain = pair.tune(tmp_path).relative_change
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    assert 2.0 <= pair.tune(tmp_path).relative_change / plain <= 6**0.5


def test_the_delta_is_added_to_the_stored_values(pair, layers, tmp_path):
    name = "unet.mid_block.resnets.0.conv1"
    layer = random_lora({name: layers[name]})[name]
    formats.write_kohya(tmp_path / "one.safetensors", {name: layer})
    change = pair.tune(tmp_path / "one.safetensors")
    delta = layer.alpha / 4 * torch.einsum("or,rikl->oikl", layer.up[:, :, 0, 0], layer.down)
    stored, tuned = pair.base_parameters[f"{name}.weight"], pair.tuned_parameters[f"{name}.weight"]
    torch.testing.assert_close(tuned - stored, delta, atol=1e-6, rtol=1e-4)
    norm = sum(value.square().sum() for value in pair.base_parameters.values()).sqrt()
    assert change.relative_change == pytest.approx(float(delta.norm() / norm), rel=1e-4)
    assert change.tensors == 1


def test_half_precision_is_rounded_once(base, layers, tmp_path):
    half = load_pair(base, device=torch.device("cpu"), dtype=torch.bfloat16)
    name = "unet.mid_block.resnets.0.conv1"
    layer = random_lora({name: layers[name]})[name]
    formats.write_kohya(tmp_path / "one.safetensors", {name: layer})
    half.tune(tmp_path / "one.safetensors")
    delta = layer.alpha / 4 * torch.einsum("or,rikl->oikl", layer.up[:, :, 0, 0], layer.down)
    expected = (half.base_parameters[f"{name}.weight"].float() + delta).bfloat16()
    assert torch.equal(half.tuned_parameters[f"{name}.weight"], expected)
    for other, value in half.tuned_parameters.items():
        assert other == f"{name}.weight" or torch.equal(value, half.base_parameters[other])


def test_a_convolution_in_three_parts(pair, layers, tmp_path):
    name = "unet.mid_block.resnets.1.conv2"
    out, into, *kernel = layers[name]
    down, mid, up = torch.randn(4, into, 1, 1), torch.randn(4, 4, *kernel), torch.randn(out, 4, 1, 1)
    parts = {
        "lora_down.weight": down,
        "lora_mid.weight": mid,
        "lora_up.weight": up,
        "alpha": torch.tensor(2.0),
    }
    save_file(
        {f"{kohya_name(name)}.{part}": value for part, value in parts.items()}, tmp_path / "cp.safetensors"
    )
    pair.tune(tmp_path / "cp.safetensors")
    difference = pair.tuned_parameters[f"{name}.weight"] - pair.base_parameters[f"{name}.weight"]
    pictures = torch.randn(1, into, 5, 5)
    conv = torch.nn.functional.conv2d
    chain = conv(conv(conv(pictures, down), mid, padding=1), up) * 0.5
    torch.testing.assert_close(conv(pictures, difference, padding=1), chain, atol=1e-3, rtol=1e-3)


def test_without_alpha_it_is_the_rank(pair, layers, tmp_path):
    name = "unet.conv_out"
    layer = random_lora({name: layers[name]}, rank=4, alpha=4.0)[name]
    formats.write_kohya(tmp_path / "with.safetensors", {name: layer})
    tensors = load_file(tmp_path / "with.safetensors")
    save_file(
        {key: value for key, value in tensors.items() if "alpha" not in key}, tmp_path / "without.safetensors"
    )
    changes = [pair.tune(tmp_path / f"{which}.safetensors").relative_change for which in ("with", "without")]
    assert changes[0] == changes[1]


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("{0}.lora.down.weight", "{0}.lora.up.weight"),
        ("{0}.lora_linear_layer.down.weight", "{0}.lora_linear_layer.up.weight"),
        ("{1}.processor.to_out_lora.down.weight", "{1}.processor.to_out_lora.up.weight"),
    ],
)
def test_older_spellings_of_diffusers(pair, layers, tmp_path, down, up):
    attention = "unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    name = f"{attention}.to_out.0"
    layer = random_lora({name: layers[name]}, alpha=4.0)[name]
    formats.write_diffusers(tmp_path / "new.safetensors", {name: layer})
    save_file(
        {down.format(name, attention): layer.down, up.format(name, attention): layer.up},
        tmp_path / "old.safetensors",
    )
    assert pair.tune(tmp_path / "old.safetensors") == pair.tune(tmp_path / "new.safetensors")


def test_a_linear_lora_written_as_a_convolution(pair, layers, tmp_path):
    name = "unet.mid_block.attentions.0.proj_in"
    assert len(layers[name]) == 4
    layer = random_lora({name: layers[name]})[name]
    formats.write_kohya(tmp_path / "4d.safetensors", {name: layer})
    flat = Layer(layer.down.flatten(1), layer.up.flatten(1), layer.alpha)
    formats.write_kohya(tmp_path / "2d.safetensors", {name: flat})
    assert pair.tune(tmp_path / "4d.safetensors") == pair.tune(tmp_path / "2d.safetensors")


REAL_KOHYA = (
    # Names of a published SD 1.5 LoRA that exist in the tiny model as well.
    "lora_te_text_model_encoder_layers_1_self_attn_q_proj",
    "lora_te_text_model_encoder_layers_0_mlp_fc2",
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q",
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2",
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_ff_net_0_proj",
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0",
    "lora_unet_down_blocks_1_attentions_0_proj_in",
)


def test_kohya_names(layers):
    stems = [kohya_name(layer) for layer in layers]
    assert len(set(stems)) == len(stems)
    assert set(REAL_KOHYA) <= set(stems)


SDXL = {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 1280)}
FLUX = {
    "lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": (16, 3072),
    "lora_unet_double_blocks_0_img_attn_proj.lora_up.weight": (3072, 16),
    "lora_unet_double_blocks_0_img_attn_proj.alpha": (),
}
FLUX_XLABS = {"double_blocks.0.processor.proj_lora1.down.weight": (16, 3072)}
FLUX_DIFFUSERS = {"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072)}
AI_TOOLKIT = {"diffusion_model.layers.0.attention.to_k.lora_A.weight": (16, 3840)}
SD3 = {"transformer.transformer_blocks.0.attn.to_k.lora_A.weight": (16, 1536)}
SDXL_DIFFUSERS = {"unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k.lora_A.weight": (4, 640)}
NOWHERE = {"lora_unet_nowhere.lora_down.weight": (4, 8), "lora_unet_nowhere.lora_up.weight": (8, 4)}
STRAY = {"model.layers.0.self_attn.q_proj.lora_A.weight": (4, 64)}
MISNAMED = {"unet.mid_block.resnets.0.conv1.lora_C.weight": (4, 96)}


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        (SDXL, "SDXL"),
        (FLUX, "FLUX"),
        (FLUX_XLABS, "FLUX"),
        (FLUX_DIFFUSERS, "FLUX"),
        (AI_TOOLKIT, "diffusion transformer"),
        (SD3, "SD3"),
        (SDXL_DIFFUSERS, "transformer_blocks.1.attn1.to_k"),
        (NOWHERE, "lora_unet_nowhere"),
        (STRAY, "model.layers.0.self_attn"),
        (MISNAMED, "lora_C"),
    ],
)
def test_another_familys_lora_or_nobodys(pair, tmp_path, shapes, named):
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, tmp_path / "foreign.safetensors")
    error = refusal(pair, tmp_path / "foreign.safetensors")
    assert error.reason == "does_not_fit"
    assert named in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "lora_te_text_model_encoder_layers_0_mlp_fc1.oft_diag",
        "lora_unet_conv_in.oft_blocks",
        "lora_unet_conv_in.bias_values",
        "lora_unet_conv_in.lokr_t1",
        "lora_unet_conv_in.on_input",
        "text_encoder.embeddings.token_embedding.lora_embedding_A",
        "unet.conv_in.lora_E",
    ],
)
def test_kinds_that_are_known_but_not_read(pair, lora, tmp_path, name):
    formats.write_kohya(tmp_path / "kind.safetensors", lora)
    tensors = {**load_file(tmp_path / "kind.safetensors"), name: torch.ones(4)}
    save_file(tensors, tmp_path / "kind.safetensors")
    error = refusal(pair, tmp_path / "kind.safetensors")
    assert error.reason == "unsupported_kind"
    assert name in str(error)


def damaged(tmp_path: Path, lora: Lora, **changes: Tensor | None) -> Path:
    """A kohya file whose first layer's parts are replaced, or dropped when None."""
    formats.write_kohya(tmp_path / "damaged.safetensors", lora)
    tensors = load_file(tmp_path / "damaged.safetensors")
    stem = kohya_name("unet.mid_block.resnets.0.conv1")
    for part, value in changes.items():
        name = f"{stem}.{part if part == 'alpha' else f'lora_{part}.weight'}"
        assert name in tensors
        tensors.pop(name)
        if value is not None:
            tensors[name] = value
    save_file(tensors, tmp_path / "damaged.safetensors")
    return tmp_path / "damaged.safetensors"


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"up": None}, "does_not_fit", "other half"),
        ({"down": None}, "does_not_fit", "other half"),
        ({"down": torch.ones(4, 95, 3, 3)}, "does_not_fit", "(4, 95, 3, 3)"),
        ({"down": torch.ones(4, 96, 5, 5)}, "does_not_fit", "(4, 96, 3, 3)"),
        ({"up": torch.ones(96, 5, 1, 1)}, "does_not_fit", "(96, 5, 1, 1)"),
        ({"up": torch.ones(96, 4, 3, 3)}, "does_not_fit", "(96, 4, 3, 3)"),
        ({"up": torch.ones(())}, "does_not_fit", "()"),
        ({"down": torch.ones(())}, "does_not_fit", "()"),
        ({"up": torch.full((96, 4, 1, 1), torch.nan)}, "not_finite", "lora_up"),
        (
            {"up": torch.full((96, 4, 1, 1), 3e38), "down": torch.full((4, 96, 3, 3), 3e38)},
            "not_finite",
            "overflows",
        ),
        ({"up": torch.ones(96, 4, 1, 1, dtype=torch.int8)}, "unsupported_kind", "whole numbers"),
        ({"alpha": torch.tensor(torch.inf)}, "not_finite", "alpha"),
        ({"alpha": torch.tensor(0.0)}, "unsupported_kind", "alpha"),
        ({"alpha": torch.ones(4)}, "unsupported_kind", "alpha"),
    ],
)
def test_damaged_parts(pair, lora, tmp_path, changes, reason, named):
    error = refusal(pair, damaged(tmp_path, lora, **changes))
    assert error.reason == reason
    assert named in str(error)


def test_an_untrained_lora_is_the_base(pair, lora, tmp_path):
    zero = {name: Layer(layer.down, torch.zeros_like(layer.up), layer.alpha) for name, layer in lora.items()}
    formats.write_kohya(tmp_path / "zero.safetensors", zero)
    assert refusal(pair, tmp_path / "zero.safetensors").reason == "same_as_base"


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


@settings(deadline=None, max_examples=40)
@given(
    names=st.lists(
        st.sampled_from(
            ["lora_unet_conv_in", "unet.conv_in", "text_encoder.x", "base_model.model.conv_in", "model", ""]
        ),
        min_size=1,
        max_size=4,
    ),
    suffixes=st.lists(
        st.sampled_from(
            [
                "lora_A.weight",
                "lora_B.weight",
                "lora_down.weight",
                "lora_up.weight",
                "alpha",
                "weight",
                "diff",
            ]
        ),
        min_size=1,
        max_size=4,
    ),
    shape=st.lists(st.integers(1, 9), max_size=4),
)
def test_strange_names_raise_nothing_else(pair, tmp_path_factory, names, suffixes, shape):
    path = tmp_path_factory.getbasetemp() / "strange.safetensors"
    save_file({f"{n}.{s}": torch.ones(shape) for n, s in zip(names, suffixes, strict=False)}, path)
    with suppress(LoadError):
        pair.tune(path)
