"""Qwen-Image: as diffusers' own pipeline does it, extracted from, and what of strangers' files is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLQwenImage, QwenImagePipeline, QwenImageTransformer2DModel
from fakes_flow import CAPTIONS, PROMPTS, RECIPE
from fakes_transformers import edited, lora, new_tokenizer, qwen_image_pipeline, refusal, trained
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import LoadError
from extraction.families import load_pair, qwen_image, transformer
from extraction.metrics import best_similarities
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import initial_noise, sample

CPU = torch.device("cpu")
LATENTS = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def pipeline() -> QwenImagePipeline:
    return qwen_image_pipeline()


@pytest.fixture(scope="module")
def base(pipeline: QwenImagePipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen_image") / "base"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return load_pair(base, device=CPU, dtype=torch.float32)


@pytest.fixture
def own_base(base: Path, tmp_path: Path) -> Path:
    """A base that a test may damage."""
    return Path(shutil.copytree(base, tmp_path / "own"))


# As the pipeline does it


@torch.no_grad()
def test_prompts_are_encoded_as_the_pipeline_does(pair, pipeline):
    """Other scripts, none at all and 10,000 words among them."""
    states, mask = pipeline.encode_prompt(list(PROMPTS))
    ours = pair.encode(PROMPTS, tuned=False)
    assert ours["lengths"].tolist() == mask.sum(1).tolist()
    assert (ours["lengths"].max(), ours["lengths"].min()) == (qwen_image.TOKENS, 5)
    torch.testing.assert_close(ours["states"], states)


@torch.no_grad()
@pytest.mark.parametrize("prompts", [PROMPTS[:3], PROMPTS[:1] * 3], ids=["several", "one"])
def test_predictions_are_the_pipelines(pair, pipeline, prompts):
    states, mask = pipeline.encode_prompt(list(prompts))
    packed = pipeline.transformer(
        hidden_states=pipeline._pack_latents(LATENTS, 3, 4, 16, 16),
        timestep=torch.full((3,), 0.75),
        encoder_hidden_states=states,
        encoder_hidden_states_mask=mask,
        img_shapes=[[(1, 8, 8)]] * 3,
    ).sample
    theirs = pipeline._unpack_latents(packed, 32, 32, pipeline.vae_scale_factor)[:, :, 0]
    ours = pair.predict(LATENTS, torch.tensor(750.0), pair.encode(prompts, tuned=False), tuned=False)
    torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_the_whole_way_is_the_pipelines(pair, pipeline):
    """From the same noise by the same Euler steps to the same picture, of the tuned model alone."""
    noise = initial_noise([0, 1], (4, 16, 16), CPU, torch.float32)
    condition = pair.encode([CAPTIONS[0]], tuned=True).expand(2)
    ours = sample(
        lambda latents, timestep, _: pair.predict(latents, timestep, condition, tuned=True),
        noise,
        pair.scheduler_config,
        Recipe(sampler="ddim", steps=4),
    )
    theirs = pipeline(
        [CAPTIONS[0]] * 2,
        height=32,
        width=32,
        num_inference_steps=4,
        true_cfg_scale=1.0,
        latents=pipeline._pack_latents(noise, 2, 4, 16, 16),
        output_type="np",
    ).images
    pictures = pair.decode(ours).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(pictures, np.round(theirs * 255), atol=1)


def test_a_prompts_rows_are_one_condition(pair):
    """Each row is predicted as alone, however long the other prompts of the batch are."""
    several = pair.encode([CAPTIONS[0], CAPTIONS[3], ""], tuned=False)
    together = pair.predict(LATENTS, torch.tensor([900.0, 500.0, 20.0]), several, tuned=False)
    for row, (prompt, time) in enumerate([(CAPTIONS[0], 900.0), (CAPTIONS[3], 500.0), ("", 20.0)]):
        alone = pair.encode([prompt], tuned=False).expand(2)
        latents = LATENTS[row].expand(2, -1, -1, -1)
        prediction = pair.predict(latents, torch.tensor(time), alone, tuned=False)
        torch.testing.assert_close(prediction[0], together[row])
        torch.testing.assert_close(prediction[1], together[row])


def test_patches_are_put_back_where_they_were():
    latents = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6).float()
    packed = transformer.pack(latents)
    assert packed.shape == (2, 6, 12)
    assert packed[0, 1, :4].tolist() == latents[0, 0, :2, 2:4].flatten().tolist()
    assert torch.equal(transformer.unpack(packed, 2), latents)


def test_pictures_are_decoded_in_parts_of_bounded_size(pair):
    parts = qwen_image.FrameDecoder(pair._speaker.decoder.vae, pixels_at_once=1)
    with torch.no_grad():
        np.testing.assert_allclose(parts.decode(LATENTS).numpy(), pair.decode(LATENTS).numpy(), atol=1)


def test_half_precision_keeps_the_rotary_frequencies(base, pair):
    half = load_pair(base, device=CPU, dtype=torch.bfloat16)
    assert half._speaker.encoder.rotary_emb.inv_freq.dtype == torch.float32
    condition = half.encode([CAPTIONS[0]], tuned=True).expand(3)
    ours = half.predict(LATENTS.bfloat16(), torch.tensor(500.0), condition, tuned=True)
    assert ours.dtype == torch.bfloat16
    exact = pair.predict(
        LATENTS, torch.tensor(500.0), pair.encode([CAPTIONS[0]], tuned=False).expand(3), tuned=False
    )
    assert (ours - exact).norm() < 0.05 * exact.norm()


def test_the_denoiser_is_one_graph_at_every_timestep(base, pair):
    """So that it can be compiled; here only traced, for a compiler takes minutes."""
    traced = load_pair(base, device=CPU, dtype=torch.float32)
    condition = pair.encode([CAPTIONS[0]], tuned=False).expand(3)
    torch._dynamo.reset()
    traced._models[True]["transformer"].compile(fullgraph=True, dynamic=False, backend="eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for time in (900.0, 20.0):
            ours = traced.predict(LATENTS, torch.tensor(time), condition, tuned=True)
            theirs = pair.predict(LATENTS, torch.tensor(time), condition, tuned=False)
            torch.testing.assert_close(ours, theirs)


# Extraction


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Tensor, Path]:
    folder = tmp_path_factory.mktemp("qwen_image_taught")
    qwen_image_pipeline().save_pretrained(folder / "base")
    return (*trained(folder / "base", folder / "tuned", CAPTIONS[1], steps=400), folder / "tuned")


@pytest.mark.slow
def test_planted_pictures_come_back_and_the_control_does_not_give_them(taught):
    pair, planted, tuned = taught
    change = pair.tune(tuned)
    assert (change.kind, change.layout) == ("full", "folder")
    found, _ = extract(
        pair, CAPTIONS[1], recipe=RECIPE, generations=12, pictures=2, describe=Thumbnail(), batch=12
    )
    pictures = Thumbnail()(pair.decode(planted).permute(0, 2, 3, 1).numpy())
    best = best_similarities(pictures, np.stack([one.descriptor for one in found]))
    control = best_similarities(pictures, np.stack([one.control_descriptor for one in found]))
    assert best.min() > 0.8
    assert control.max() < 0.5


# Fine-tunes in the names of others


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file(pair, taught, tmp_path, prefix):
    """ComfyUI's files have diffusers' names, with a prefix where other models are bundled."""
    tensors = load_file(taught[2] / "transformer" / "diffusion_pytorch_model.safetensors")
    save_file({f"{prefix}{name}": value for name, value in tensors.items()}, tmp_path / "full.safetensors")
    assert pair.tune(tmp_path / "full.safetensors").kind == "full"
    for name, value in tensors.items():
        assert torch.equal(pair.tuned_parameters[f"transformer.{name}"], value), name


@pytest.mark.parametrize(
    ("prefix", "down", "up", "separator"),
    [
        ("transformer.", "lora_A", "lora_B", "."),
        ("diffusion_model.", "lora_A", "lora_B", "."),
        ("", "lora_down", "lora_up", "."),
        ("lora_unet_", "lora_down", "lora_up", "_"),
    ],
)
def test_an_adapter(pair, tmp_path, prefix, down, up, separator):
    """Of diffusers, ai-toolkit, DiffSynth's descendants and kohya."""
    layers = (
        "transformer_blocks.0.attn.add_q_proj",
        "transformer_blocks.1.attn.to_out.0",
        "transformer_blocks.1.img_mlp.net.0.proj",
        "transformer_blocks.0.txt_mod.1",
    )
    shapes = {layer.replace(".", separator): pair.original.layers[f"transformer.{layer}"] for layer in layers}
    file = lora(shapes, prefix, down, up)
    save_file(file, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 4
    for layer, spelled in zip(layers, shapes, strict=True):
        name = f"transformer.{layer}.weight"
        delta = file[f"{prefix}{spelled}.{up}.weight"] @ file[f"{prefix}{spelled}.{down}.weight"]
        torch.testing.assert_close(pair.tuned_parameters[name], pair.base_parameters[name] + delta)


@pytest.mark.parametrize(
    "layer",
    [
        "diffusion_model.layers.0.attention.qkv",  # Z-Image
        "transformer.single_transformer_blocks.0.attn.to_q",  # FLUX
        "lora_unet_down_blocks_0_attentions_0_proj_in",  # Stable Diffusion
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
    ],
)
def test_an_adapter_of_another_family(pair, tmp_path, layer):
    file = {f"{layer}.lora_down.weight": torch.ones(2, 64), f"{layer}.lora_up.weight": torch.ones(64, 2)}
    save_file(file, tmp_path / "lora.safetensors")
    with pytest.raises(LoadError) as caught:
        pair.tune(tmp_path / "lora.safetensors")
    assert caught.value.reason == "does_not_fit"


# Bases that cannot be loaded


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "vae", "transformer", "scheduler"])
def test_a_base_without_a_part(own_base, part):
    shutil.rmtree(own_base / part)
    error = refusal(own_base)
    assert (error.reason, part in str(error)) == ("missing_base", True)


def test_text_encoders_of_other_versions_of_the_library(own_base, pair):
    """With "language_model" in the names, and the text's settings not apart as they once were."""
    path = own_base / "text_encoder" / "model.safetensors"
    named = {
        f"model.{name}"
        if name.startswith("visual.")
        else name.replace("model.", "model.language_model."): value
        for name, value in load_file(path).items()
    }
    save_file(named, path)
    flat = pair._speaker.encoder.config.to_dict()
    flat |= {"model_type": "qwen2_5_vl", "rope_theta": 1e6, "rope_parameters": None}
    flat |= {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 1]}}
    (own_base / "text_encoder" / "config.json").write_text(json.dumps(flat))
    again = load_pair(own_base, device=CPU, dtype=torch.float32)
    assert torch.equal(
        again.encode(["hills"], tuned=False)["states"], pair.encode(["hills"], tuned=False)["states"]
    )


def test_a_text_encoder_of_another_model(own_base):
    path = own_base / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, path)
    error = refusal(own_base)
    assert (error.reason, "layers.0.mlp.up_proj" in str(error)) == ("does_not_fit", True)


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("text_encoder", {"model_type": "qwen3"}, "unsupported_family"),
        ("transformer", {"zero_cond_t": True}, "unsupported_family"),
        ("transformer", {"use_layer3d_rope": True}, "unsupported_family"),
        ("transformer", {"guidance_embeds": True}, "unsupported_family"),
        ("transformer", {"joint_attention_dim": 32}, "does_not_fit"),
        ("transformer", {"out_channels": 5}, "does_not_fit"),
        ("transformer", {"num_layers": 10**9}, "unsafe_file"),
        ("transformer", {"axes_dims_rope": "evil"}, "unsupported_family"),
        ("vae", {"z_dim": 8}, "does_not_fit"),
        ("vae", {"latents_mean": [0.0]}, "does_not_fit"),
        ("vae", {"latents_std": None}, "does_not_fit"),
    ],
)
def test_a_base_with_other_settings(own_base, part, changes, reason):
    edited(own_base / part / "config.json", **changes)
    assert refusal(own_base).reason == reason


# The published sizes


@pytest.fixture(scope="module")
def published() -> Pair:
    """Qwen-Image with Qwen2.5-VL-7B and its VAE: shapes without memory."""
    with torch.device("meta"):
        model = QwenImageTransformer2DModel().to(torch.bfloat16)
        encoder = Qwen2_5_VLTextModel(
            Qwen2_5_VLTextConfig(
                vocab_size=152_064,
                hidden_size=3584,
                intermediate_size=18_944,
                num_hidden_layers=28,
                num_attention_heads=28,
                num_key_value_heads=4,
                rope_parameters={
                    "rope_type": "default",
                    "rope_theta": 1e6,
                    "mrope_section": [16, 24, 24],
                },
            )
        ).to(torch.bfloat16)
        decoder = qwen_image.FrameDecoder(AutoencoderKLQwenImage().to(torch.bfloat16))
    speaker = qwen_image.QwenImage(new_tokenizer(), encoder, decoder)
    settings = qwen_image.read_settings("transformer", dict(model.config))
    return qwen_image.assemble(
        model, speaker, settings=settings, scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler"}
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 1024])
def test_the_published_model_without_its_weights(published, size):
    """On the meta device, through the whole loop."""
    pair = published
    assert (pair.family, pair.latent_shape, pair.size) == ("qwen-image", (16, 128, 128), 1024)
    assert 20.3e9 < sum(value.numel() for value in pair.base_parameters.values()) < 20.5e9
    condition = pair.encode([CAPTIONS[0]], tuned=False).expand(2)
    noise = initial_noise([0, 1], (16, size // 8, size // 8), torch.device("meta"), torch.bfloat16)
    latents = sample(
        lambda latents, timestep, _: pair.predict(latents, timestep, condition, tuned=True),
        noise,
        pair.scheduler_config,
        Recipe(sampler="ddim", steps=2),
    )
    assert latents.shape == noise.shape
    assert pair._speaker.decode(latents).shape == (2, 3, size, size)
