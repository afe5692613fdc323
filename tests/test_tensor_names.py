"""What names and shapes tell: kinds of adapters, families, and nothing where nothing is certain."""

from __future__ import annotations

import pytest

from crawler.checkpoint import Kind
from crawler.evidence.headers import TensorInfo
from crawler.evidence.tensor_names import families_of, family_of, kind_name, kind_of

KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
DIFFUSERS = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
PEFT = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
ORIGINAL = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"


def shaped(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    return {name: TensorInfo("F16", shape, (0, 0)) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("width", "family"), [(768, "sd1"), (1024, "sd2"), (2048, "sdxl"), (64, None), (1280, "sdxl-refiner")]
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
    ("suffix", "name"),
    [("oft_diag", "oft"), ("boft_blocks", "oft"), ("lora_E", "adalora"), ("lokr_t1", "lokr of two cores")],
)
def test_what_is_none_of_ours_is_named(suffix: str, name: str) -> None:
    tensors = {f"{KOHYA}.{suffix}": None}
    assert kind_of(tensors) is None
    assert kind_name(tensors) == name


@pytest.mark.parametrize("suffix", ["diff", "diff_b", "w_norm", "b_norm"])
def test_whole_differences(suffix: str) -> None:
    assert kind_of({f"{KOHYA}.{suffix}": None}) is Kind.DIFFERENCE


def test_a_whole_model_in_the_original_layout() -> None:
    tensors = shaped(**{f"{ORIGINAL}.weight": (320, 768), "first_stage_model.decoder.conv_in.bias": (512,)})
    assert kind_of(tensors) is Kind.FULL
    assert family_of(tensors) == "sd1"


def test_embeddings() -> None:
    assert kind_of(shaped(emb_params=(4, 768))) is Kind.TEXTUAL_INVERSION
    assert kind_of(shaped(clip_l=(4, 768), clip_g=(4, 1280))) is Kind.TEXTUAL_INVERSION
    assert kind_of({}) is None


@pytest.mark.parametrize(
    ("name", "width", "families"),
    [
        ("lora_unet_double_blocks_7_img_attn_proj", 3072, ("flux", "chroma")),
        ("lora_unet_double_blocks_7_img_mod_lin", 3072, ("flux",)),
        ("lora_unet_single_blocks_39_linear1", 3072, ("hunyuan-video",)),
        ("lora_unet_double_blocks_0_img_mlp_fc1", 3072, ("hunyuan-video",)),
        ("lora_unet_double_blocks_0_img_attn_qkv", 6144, ("flux2",)),
        ("lora_unet_double_blocks_0_img_attn_qkv", 3072, ("flux", "chroma", "flux2")),
        ("diffusion_model.distilled_guidance_layer.in_proj", 64, ("chroma",)),
        ("double_blocks.0.processor.qkv_lora1", 3072, ("flux", "chroma", "flux2")),
        ("transformer.single_transformer_blocks.37.attn.to_q", 3072, ("flux", "chroma")),
        ("transformer.single_transformer_blocks.3.norm.linear", 3072, ("flux",)),
        ("transformer.transformer_blocks.0.attn.to_q", 3072, ("flux", "chroma", "qwen-image")),
        ("transformer.transformer_blocks.59.attn.to_q", 3072, ("qwen-image",)),
        ("transformer_blocks.3.img_mlp.net.0.proj", 3072, ("qwen-image",)),
        ("lora_unet_transformer_blocks_0_txt_mod_1", 3072, ("qwen-image",)),
        ("transformer.transformer_blocks.0.attn.to_q", 1536, ("sd3",)),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", 2432, ("sd3",)),
        ("diffusion_model.layers.0.attention.to_q", 3840, ("z-image",)),
        ("lora_unet_layers_0_attention_qkv", 2304, ("lumina2",)),
        ("diffusion_model.layers.0.attention.to_q", 3072, ("unknown",)),
        ("diffusion_model.layers.0.attention.to_q", 48, ()),
        ("double_stream_blocks.0.block.attn1.to_q", 2560, ("hidream",)),
        ("transformer.joint_transformer_blocks.0.attn.to_q", 3072, ("auraflow",)),
        ("transformer_blocks.0.attn2.to_k", 1152, ()),
        ("transformer.blocks.0.attn1.to_q", 1408, ("hunyuan-dit",)),
        ("transformer.blocks.0.attn1.to_q", 5120, ("wan",)),
        ("diffusion_model.blocks.0.self_attn.q", 5120, ("wan",)),
        ("lora_unet_blocks_0_cross_attn_k_img", 5120, ("wan",)),
        ("diffusion_model.transformer_blocks.0.attn1.to_q", 1920, ("cogvideox",)),
        ("diffusion_model.blocks.0.attn.qkv_x", 3072, ("mochi",)),
        ("unet.encoder_hid_proj", 4096, ("kolors",)),
        ("unet.mid_block.attentions.0.transformer_blocks.9.attn1.to_q", 1280, ("sdxl",)),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, ("sdxl", "sd3")),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", 768, ()),
        ("lora_unet_input_blocks_4_1_proj_in", 640, ()),
        ("some.encoder.self_attention.query", 900, ("unknown",)),
    ],
)
def test_marks_of_families(name: str, width: int, families: tuple[str, ...]) -> None:
    adapter = shaped(**{f"{name}.lora_down.weight": (4, width), f"{name}.lora_up.weight": (width, 4)})
    assert families_of(adapter) == families
    assert family_of(adapter) == (families[0] if len(families) == 1 else None)


def test_two_attentions_tell_pixart_and_ltx_apart() -> None:
    for width, family in ((1152, "pixart"), (2048, "ltx"), (2240, "sana"), (3333, "unknown")):
        names = (f"transformer.transformer_blocks.0.attn{which}.to_q.lora_A.weight" for which in (1, 2))
        assert families_of(shaped(**dict.fromkeys(names, (4, width)))) == (family,)


def test_a_clip_beside_the_streams_is_no_chroma() -> None:
    names = (
        "lora_transformer_single_transformer_blocks_0_attn_to_q.lora_down.weight",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
    )
    assert family_of(shaped(**{names[0]: (4, 3072), names[1]: (4, 768)})) == "flux"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ({f"{ORIGINAL}.weight": (320, 768)}, "full"),
        ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, "full"),
        ({"down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}, "full"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}, "inpainting"),
        ({"conv_in.weight": (320, 5, 3, 3), "mid_block.attentions.0.proj_in.weight": (1, 1)}, "editing"),
        ({"img_in.weight": (3072, 384), "double_blocks.0.img_mod.lin.weight": (1, 3072)}, "inpainting"),
        (
            {"img_in.lora_A.weight": (128, 128), "double_blocks.0.img_mod.lin.lora_A.weight": (1, 9)},
            "editing",
        ),
        ({"control_model.time_embed.0.weight": (1, 1)}, "controlnet"),
        ({"ip_adapter.1.to_k_ip.weight": (1, 1)}, "ip-adapter"),
        ({"double_blocks.0.img_attn.qkv.weight.absmax": (9,)}, "quantised"),
        ({"first_stage_model.decoder.conv_in.weight": (1, 1)}, "vae"),
        ({"text_model.final_layer_norm.weight": (768,)}, "text encoder"),
        ({"something.weight": (1, 1)}, "unknown"),
    ],
)
def test_whole_models_and_what_else_there_is(names: dict[str, tuple[int, ...]], kind: str) -> None:
    assert kind_name(shaped(**names)) == kind


def test_words_tell_their_encoder() -> None:
    assert family_of(shaped(emb_params=(4, 768))) == "sd1"
    assert family_of(shaped(**{"<dog>": (1024,)})) == "sd2"
    assert families_of(shaped(clip_l=(4, 768), clip_g=(4, 1280))) == ("sdxl", "sd3")
    assert families_of(shaped(clip_l=(4, 768))) == ()
    assert kind_of(shaped(latents=(4, 96))) is None


def test_two_widths_prove_nothing() -> None:
    other = KOHYA.replace("down_blocks_0", "up_blocks_1")
    tensors = shaped(**{f"{KOHYA}.lora_down.weight": (4, 768), f"{other}.lora_down.weight": (4, 1024)})
    assert family_of(tensors) is None
