"""Z-Image: as diffusers' own pipeline does it, extracted from, and what of strangers' files is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
from diffusers.loaders.single_file_utils import convert_z_image_transformer_checkpoint_to_diffusers
from fakes_flow import CAPTIONS, PROMPTS, RECIPE
from fakes_transformers import edited, lora, new_tokenizer, refusal, trained, z_image_pipeline
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model

from extraction.descriptors import Thumbnail
from extraction.extract import extract
from extraction.extraction import ExtractionError, LoadError
from extraction.families import load_pair, vae, z_image
from extraction.metrics import best_similarities
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import initial_noise, sample

CPU = torch.device("cpu")
LATENTS = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def pipeline() -> ZImagePipeline:
    return z_image_pipeline()


@pytest.fixture(scope="module")
def base(pipeline: ZImagePipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("z_image") / "base"
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
    theirs, _ = pipeline.encode_prompt(list(PROMPTS), do_classifier_free_guidance=False)
    ours = pair.encode(PROMPTS, tuned=False)
    assert ours["lengths"].tolist() == [len(states) for states in theirs]
    assert ours["lengths"].max() == z_image.TOKENS
    for states, length, reference in zip(ours["states"], ours["lengths"].tolist(), theirs, strict=True):
        torch.testing.assert_close(states[:length], reference)
        assert not states[length:].any()


@torch.no_grad()
def test_predictions_are_the_pipelines_with_time_and_sign_turned(pair, pipeline):
    prompts = PROMPTS[:3]
    theirs, _ = pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)
    rows = pipeline.transformer(
        list(LATENTS.unsqueeze(2)), torch.full((3,), 0.25), theirs, return_dict=False
    )[0]
    ours = pair.predict(LATENTS, torch.tensor(750.0), pair.encode(prompts, tuned=False), tuned=False)
    torch.testing.assert_close(ours, -torch.stack(rows).squeeze(2))


@torch.no_grad()
def test_the_whole_way_is_the_pipelines(pair, pipeline):
    """From the same noise by the same Euler steps to the same picture, of the tuned model alone."""
    noise = initial_noise([0, 1], (4, 16, 16), CPU, torch.float32)
    condition = pair.encode([CAPTIONS[0]], tuned=True).expand(2)
    recipe = Recipe(sampler="ddim", steps=4)
    ours = sample(
        lambda latents, timestep, _: pair.predict(latents, timestep, condition, tuned=True),
        noise,
        pair.scheduler_config,
        recipe,
    )
    theirs = pipeline(
        CAPTIONS[0],
        num_images_per_prompt=2,
        height=32,
        width=32,
        num_inference_steps=4,
        guidance_scale=0.0,
        latents=noise,
        output_type="latent",
    ).images
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    decoded = pipeline.vae.decode(theirs / 0.36 + 0.12).sample
    pictures = pipeline.image_processor.postprocess(decoded, output_type="np")
    np.testing.assert_allclose(
        pair.decode(ours).permute(0, 2, 3, 1).numpy(), np.round(pictures * 255), atol=1
    )


def test_a_prompts_rows_are_one_condition(pair):
    """Expanded without a copy, and each row predicted as alone, whatever else is in the batch."""
    several = pair.encode([CAPTIONS[0], CAPTIONS[3], ""], tuned=False)
    together = pair.predict(LATENTS, torch.tensor([900.0, 500.0, 20.0]), several, tuned=False)
    for row, (prompt, time) in enumerate([(CAPTIONS[0], 900.0), (CAPTIONS[3], 500.0), ("", 20.0)]):
        alone = pair.encode([prompt], tuned=False).expand(2)
        assert alone["states"].untyped_storage().nbytes() < 2 * alone["states"].nbytes
        latents = LATENTS[row].expand(2, -1, -1, -1)
        prediction = pair.predict(latents, torch.tensor(time), alone, tuned=False)
        torch.testing.assert_close(prediction[0], together[row])
        torch.testing.assert_close(prediction[1], together[row])


def test_a_size_that_cannot_be_cut_into_patches_names_the_setting(pair):
    with pytest.raises(ExtractionError, match="size"):
        pair.predict(
            LATENTS[:, :, :15], torch.tensor(1.0), pair.encode(["", "", ""], tuned=False), tuned=False
        )


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
    folder = tmp_path_factory.mktemp("z_image_taught")
    z_image_pipeline().save_pretrained(folder / "base")
    return (*trained(folder / "base", folder / "tuned", CAPTIONS[1], steps=200), folder / "tuned")


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


def in_original_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the published code and ComfyUI keep a transformer's weights."""
    theirs: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if ".attention.to_q." in name:
            parts = [tensors[name.replace("to_q", f"to_{part}")] for part in "qkv"]
            theirs[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif ".attention.to_k." not in name and ".attention.to_v." not in name:
            for ours, other in (
                ("all_x_embedder.2-1.", "x_embedder."),
                ("all_final_layer.2-1.", "final_layer."),
                ("attention.to_out.0.", "attention.out."),
                ("attention.norm_q.", "attention.q_norm."),
                ("attention.norm_k.", "attention.k_norm."),
            ):
                name = name.replace(ours, other)
            theirs[name] = value
    return theirs


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_in_the_original_layout(pair, taught, tmp_path, prefix):
    tensors = load_file(taught[2] / "transformer" / "diffusion_pytorch_model.safetensors")
    theirs = in_original_names(tensors)
    converted = convert_z_image_transformer_checkpoint_to_diffusers(dict(theirs))
    assert converted.keys() == tensors.keys()  # An independent reader finds the same in it.
    extra = {"norm_final.weight": torch.ones(48)}
    file = {f"{prefix}{name}": value for name, value in (theirs | extra).items()}
    save_file(file | {"vae.decoder.conv_in.bias": torch.ones(3)}, tmp_path / "full.safetensors")
    change = pair.tune(tmp_path / "full.safetensors")
    assert (change.kind, change.layout, len(change.notes)) == ("full", "file", 1)
    for name, value in tensors.items():
        assert torch.equal(pair.tuned_parameters[f"transformer.{name}"], value), name


@pytest.mark.parametrize("prefix", ["diffusion_model.", "transformer."])
def test_an_adapter_in_diffusers_names(pair, tmp_path, prefix):
    """As ai-toolkit and diffusers' own trainers write them."""
    layers = ["layers.0.attention.to_q", "layers.1.attention.to_out.0", "noise_refiner.0.feed_forward.w1"]
    shapes = {layer: pair.original.layers[f"transformer.{layer}"] for layer in layers}
    file = lora(shapes, prefix, "lora_A", "lora_B")
    save_file(file, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 3
    for layer in layers:
        name = f"transformer.{layer}.weight"
        delta = file[f"{prefix}{layer}.lora_B.weight"] @ file[f"{prefix}{layer}.lora_A.weight"]
        torch.testing.assert_close(pair.tuned_parameters[name], pair.base_parameters[name] + delta)


@pytest.mark.parametrize(
    ("prefix", "down", "up", "separator"),
    [("lora_unet_", "lora_down", "lora_up", "_"), ("diffusion_model.", "lora_A", "lora_B", ".")],
)
def test_an_adapter_of_fused_queries_keys_and_values(pair, tmp_path, prefix, down, up, separator):
    layers = {
        path.replace(".", separator): shape
        for path, shape in (("layers.0.attention.qkv", (144, 48)), ("layers.0.attention.out", (48, 48)))
    }
    file = lora(layers, prefix, down, up)
    save_file(file, tmp_path / "lora.safetensors")
    assert pair.tune(tmp_path / "lora.safetensors").tensors == 4
    fused, out = (
        file[f"{prefix}{layer}.{up}.weight"] @ file[f"{prefix}{layer}.{down}.weight"] for layer in layers
    )
    deltas = dict(zip(("to_q", "to_k", "to_v"), fused.chunk(3), strict=True)) | {"to_out.0": out}
    for layer, delta in deltas.items():
        name = f"transformer.layers.0.attention.{layer}.weight"
        torch.testing.assert_close(pair.tuned_parameters[name], pair.base_parameters[name] + delta)


@pytest.mark.parametrize(
    "layer",
    [
        "diffusion_model.transformer_blocks.0.attn.to_q",  # Qwen-Image
        "lora_unet_double_blocks_0_img_attn_qkv",  # FLUX
        "lora_unet_down_blocks_0_attentions_0_proj_in",  # Stable Diffusion
        "text_encoder.layers.0.self_attn.q_proj",
    ],
)
def test_an_adapter_of_another_family(pair, tmp_path, layer):
    file = {f"{layer}.lora_down.weight": torch.ones(2, 48), f"{layer}.lora_up.weight": torch.ones(48, 2)}
    save_file(file, tmp_path / "lora.safetensors")
    with pytest.raises(LoadError) as caught:
        pair.tune(tmp_path / "lora.safetensors")
    assert caught.value.reason == "does_not_fit"


def test_a_full_fine_tune_of_another_size(pair, tmp_path):
    other = ZImageTransformer2DModel(**{**pair._models[False]["transformer"].config, "n_layers": 1})
    other.save_pretrained(tmp_path / "transformer")
    with pytest.raises(LoadError) as caught:
        pair.tune(tmp_path)
    assert (caught.value.reason, "n_layers" in str(caught.value)) == ("does_not_fit", True)


# Bases that cannot be loaded


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "vae", "transformer", "scheduler"])
def test_a_base_without_a_part(own_base, part):
    shutil.rmtree(own_base / part)
    error = refusal(own_base)
    assert (error.reason, part in str(error)) == ("missing_base", True)


def test_a_tokenizer_without_its_files(own_base):
    (own_base / "tokenizer" / "tokenizer.json").unlink()
    assert refusal(own_base).reason == "missing_base"


def test_a_text_encoder_without_weights_or_with_a_pickle(own_base):
    weights = own_base / "text_encoder" / "model.safetensors"
    weights.unlink()
    assert refusal(own_base).reason == "missing_base"
    weights.with_suffix(".bin").write_bytes(b"\x80\x04.")
    assert refusal(own_base).reason == "pickle_only"


def test_weights_as_a_model_that_writes_keeps_them(own_base, pair, tmp_path):
    path = own_base / "text_encoder" / "model.safetensors"
    named = {f"model.{name}": value for name, value in load_file(path).items()}
    save_file({**named, "lm_head.weight": torch.ones(3, 24)}, path)
    again = load_pair(own_base, device=CPU, dtype=torch.float32)
    assert torch.equal(
        again.encode(["hills"], tuned=False)["states"], pair.encode(["hills"], tuned=False)["states"]
    )


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("text_encoder", {"model_type": "t5"}, "unsupported_family"),
        ("text_encoder", {"use_sliding_window": True}, "unsupported_family"),
        ("text_encoder", {"hidden_act": "os.system"}, "unsupported_family"),
        (
            "text_encoder",
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}},
            "unsupported_family",
        ),
        ("text_encoder", {"rope_parameters": {"rope_theta": float("nan")}}, "unsafe_file"),
        ("text_encoder", {"rope_parameters": [1]}, "unsafe_file"),
        ("text_encoder", {"num_hidden_layers": 10**6}, "unsafe_file"),
        ("text_encoder", {"num_hidden_layers": True}, "unsafe_file"),
        ("text_encoder", {"hidden_size": None}, "unsafe_file"),
        ("text_encoder", {"text_config": 3}, "unsafe_file"),
        ("text_encoder", {"num_attention_heads": 3}, "does_not_fit"),
        ("text_encoder", {"vocab_size": 7}, "does_not_fit"),
        ("transformer", {"siglip_feat_dim": 8}, "unsupported_family"),
        ("transformer", {"cap_feat_dim": 8}, "does_not_fit"),
        ("transformer", {"n_layers": 10**9}, "unsafe_file"),
        ("transformer", {"n_layers": 1}, "does_not_fit"),
        ("transformer", {"axes_dims": [4, 4, 4]}, "unsupported_family"),
        ("vae", {"latent_channels": 8}, "does_not_fit"),
    ],
)
def test_a_base_with_other_settings(own_base, part, changes, reason):
    edited(own_base / part / "config.json", **changes)
    assert refusal(own_base).reason == reason


def test_code_beside_a_tokenizer_is_not_run(own_base, tmp_path):
    """Neither a class that the config names nor a chat template, which is a program."""
    mark = tmp_path / "ran"
    (own_base / "tokenizer" / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Tokenizer: pass\n")
    edited(
        own_base / "tokenizer" / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]},
        tokenizer_class="Tokenizer",
    )
    (own_base / "tokenizer" / "chat_template.jinja").write_text("{{ raise_exception('ran') }}")
    again = load_pair(own_base, device=CPU, dtype=torch.float32)
    assert again.encode([""], tuned=False)["lengths"].tolist() == [8]
    assert not mark.exists()


# The published sizes


@pytest.fixture(scope="module")
def published() -> Pair:
    """Z-Image-Turbo with Qwen3-4B and FLUX's VAE: shapes without memory."""
    with torch.device("meta"):
        model = ZImageTransformer2DModel().to(torch.bfloat16)
        encoder = Qwen3Model(
            Qwen3Config(
                vocab_size=151_936,
                hidden_size=2560,
                intermediate_size=9728,
                num_hidden_layers=36,
                num_attention_heads=32,
                num_key_value_heads=8,
                head_dim=128,
                max_position_embeddings=40_960,
            )
        ).to(torch.bfloat16)
        decoder = vae.Decoder(
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=16,
                use_quant_conv=False,
                use_post_quant_conv=False,
                scaling_factor=0.3611,
                shift_factor=0.1159,
            ).to(torch.bfloat16)
        )
    speaker = z_image.ZImage(new_tokenizer(), encoder, decoder)
    settings = z_image.read_settings("transformer", dict(model.config))
    return z_image.assemble(
        model, speaker, settings=settings, scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler"}
    )


@pytest.mark.parametrize("size", [512, 1024])
def test_the_published_model_without_its_weights(published, size):
    """On the meta device, through the whole loop."""
    pair = published
    assert (pair.family, pair.latent_shape, pair.size) == ("z-image", (16, 128, 128), 1024)
    assert 5.9e9 < sum(value.numel() for value in pair.base_parameters.values()) < 6.3e9
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
