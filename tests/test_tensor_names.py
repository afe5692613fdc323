"""What names and shapes tell: kinds of adapters, families, and nothing where nothing is certain."""

from __future__ import annotations

import pytest

from crawler.checkpoint import Kind
from crawler.evidence.headers import TensorInfo
from crawler.evidence.tensor_names import family_of, kind_name, kind_of

KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
DIFFUSERS = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
PEFT = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
ORIGINAL = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"


def shaped(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    return {name: TensorInfo("F16", shape, (0, 0)) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("width", "family"), [(768, "sd1"), (1024, "sd2"), (2048, "sdxl"), (64, None), (1280, None)]
)
@pytest.mark.parametrize(
    "names",
    [
        (f"{KOHYA}.lora_down.weight", f"{KOHYA}.lora_up.weight", f"{KOHYA}.alpha"),
        (f"{DIFFUSERS}.lora_A.weight", f"{DIFFUSERS}.lora_B.weight"),
        (f"{DIFFUSERS}.lora.down.weight", f"{DIFFUSERS}.lora.up.weight"),
        (f"{DIFFUSERS}_lora.down.weight", f"{DIFFUSERS}_lora.up.weight"),
        (f"{PEFT}.lora_A.weight", f"{PEFT}.lora_B.weight"),
        (f"{PEFT}.lora_A.default.weight", f"{PEFT}.lora_B.default.weight"),
    ],
)
def test_the_spellings_of_lora(names: tuple[str, ...], width: int, family: str | None) -> None:
    shapes = [(4, width), (320, 4), ()]
    tensors = shaped(**dict(zip(names, shapes, strict=False)))
    assert kind_of(tensors) is Kind.LORA
    assert family_of(tensors) == family


def test_a_convolution_lora_has_four_dimensions() -> None:
    assert family_of(shaped(**{f"{KOHYA}.lora_down.weight": (4, 768, 1, 1)})) == "sd1"


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("dora_scale", Kind.DORA),
        ("lora_magnitude_vector.weight", Kind.DORA),
        ("hada_w1_a", Kind.LOHA),
        ("lokr_w1", Kind.LOKR),
        ("lokr_w2_a", Kind.LOKR),
    ],
)
def test_one_layer_of_another_algorithm_decides(suffix: str, kind: Kind) -> None:
    names = [f"{KOHYA}.lora_down.weight", f"{KOHYA}.lora_up.weight", f"lora_unet_mid_block_attn.{suffix}"]
    assert kind_of(dict.fromkeys(names)) is kind


@pytest.mark.parametrize(
    ("suffix", "name"), [("oft_diag", "oft"), ("oft_blocks", "oft"), ("diff", "full difference")]
)
def test_what_is_none_of_ours_is_named(suffix: str, name: str) -> None:
    tensors = {f"{KOHYA}.{suffix}": None}
    assert kind_of(tensors) is None
    assert kind_name(tensors) == name


def test_a_whole_model_in_the_original_layout() -> None:
    tensors = shaped(**{f"{ORIGINAL}.weight": (320, 768), "first_stage_model.decoder.conv_in.bias": (512,)})
    assert kind_of(tensors) is Kind.FULL
    assert family_of(tensors) == "sd1"


def test_embeddings() -> None:
    assert kind_of(shaped(emb_params=(4, 768))) is Kind.TEXTUAL_INVERSION
    assert kind_of(shaped(clip_l=(4, 768), clip_g=(4, 1280))) is Kind.TEXTUAL_INVERSION
    assert kind_of({}) is None


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight", "flux"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "unknown"),
        ("diffusion_model.layers.0.attention.to_q.lora_A.weight", "unknown"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "sdxl"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", None),
        ("lora_unet_input_blocks_4_1_proj_in.lora_down.weight", None),
    ],
)
def test_marks_of_families(name: str, family: str | None) -> None:
    assert family_of(shaped(**{name: (4, 3072)})) == family


def test_two_widths_prove_nothing() -> None:
    other = KOHYA.replace("down_blocks_0", "up_blocks_1")
    tensors = shaped(**{f"{KOHYA}.lora_down.weight": (4, 768), f"{other}.lora_down.weight": (4, 1024)})
    assert family_of(tensors) is None
