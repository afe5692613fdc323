"""LoRA files in every layout: read as diffusers and peft read them, refused where they are not certain."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from fakes_models import random_lora, random_pipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from extraction.adapters.places import kohya_name
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


def test_a_change_that_overflows(pair, layers, tmp_path):
    name = "unet.mid_block.resnets.0.conv1"
    layer = random_lora({name: layers[name]})[name]
    huge = Layer(torch.full_like(layer.down, 3e38), torch.full_like(layer.up, 3e38), 4.0)
    formats.write_kohya(tmp_path / "huge.safetensors", {name: huge})
    error = refusal(pair, tmp_path / "huge.safetensors")
    assert error.reason == "not_finite"
    assert "overflows" in str(error)


def test_an_untrained_lora_is_the_base(pair, lora, tmp_path):
    zero = {name: Layer(layer.down, torch.zeros_like(layer.up), layer.alpha) for name, layer in lora.items()}
    formats.write_kohya(tmp_path / "zero.safetensors", zero)
    assert refusal(pair, tmp_path / "zero.safetensors").reason == "same_as_base"
