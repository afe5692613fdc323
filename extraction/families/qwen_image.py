"""Qwen-Image and its fine-tunes: two streams, of picture and text, read by a Qwen2.5-VL, and a video VAE."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from torch import Tensor, nn
from transformers import Qwen2Tokenizer
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import transformer as shared
from extraction.families.language_model import load_qwen2_vl, load_tokenizer, tokenize
from extraction.folder import read_json
from extraction.original import Original
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, "
    "spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""What the model was trained to see around a prompt, word for word (diffusers' QwenImagePipeline)."""

SKIPPED = 34
"""Tokens of the template before the prompt, whose states the transformer is not shown."""

TOKENS = 1024
"""Most tokens of a prompt and what follows it."""

SIZE = 1024
"""Side of a picture in pixels where nothing else is asked for; no config says it."""

IGNORED = re.compile(r"^(vae|text_encoders)\.")
"""Of a single file: other models bundled with it."""

VARIANTS = {
    "patch_size": 2,
    "guidance_embeds": False,
    "zero_cond_t": False,
    "use_additional_t_cond": False,
    "use_layer3d_rope": False,
}
"""Settings of the transformer that makes pictures of text; the others edit pictures or stack them."""


@dataclass(frozen=True, slots=True)
class QwenImage:
    """Speaks to the components of Qwen-Image."""

    tokenizer: Qwen2Tokenizer
    encoder: Qwen2_5_VLTextModel
    vae: AutoencoderKLQwenImage
    pixels_at_once: int = 2**22
    """What the VAE decodes in one forward: 4 pictures of 1024 x 1024."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": last hidden states (B, T, D) from the prompt on; "lengths": (B,)."""
        texts = [TEMPLATE.format(prompt) for prompt in prompts]
        tokens = tokenize(self.tokenizer, texts, SKIPPED + TOKENS, self.vae.device)
        states: Tensor = self.encoder(tokens.ids, tokens.mask, use_cache=False).last_hidden_state
        return shared.condition(states, tokens, skipped=SKIPPED)

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise."""
        shared.check_even(latents)
        states, lengths = condition["states"], condition["lengths"]
        mask = None
        if int(lengths.min()) < states.shape[1]:
            mask = (torch.arange(states.shape[1]) < lengths[:, None]).to(states.device)
        rows, _, height, width = latents.shape
        prediction = components["transformer"](
            hidden_states=pack(latents),
            timestep=timestep.expand(rows).to(latents.dtype) / 1000,
            encoder_hidden_states=states,
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, height // 2, width // 2)]] * rows,
            return_dict=False,
        )[0]
        return unpack(prediction, height, width)

    def decode(self, latents: Tensor) -> Tensor:
        pixels = latents.shape[2] * latents.shape[3] * self.vae.spatial_compression_ratio**2
        parts = torch.split(latents, max(1, self.pixels_at_once // pixels))
        return torch.cat([self._decode(part) for part in parts])

    def _decode(self, latents: Tensor) -> Tensor:
        """Latents are those of a video of one frame."""
        mean, deviation = (
            torch.tensor(values, dtype=latents.dtype, device=latents.device)[:, None, None]
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        frames = (latents * deviation + mean).unsqueeze(2)
        return shared.to_bytes(self.vae.decode(frames, return_dict=False)[0][:, :, 0])


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) to a sequence of 2 x 2 patches (B, h/2 * w/2, 4 C)."""
    return nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def unpack(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`, for latents of so many rows and columns."""
    squares = patches.transpose(1, 2).reshape(len(patches), -1, height // 2, width // 2)
    return nn.functional.pixel_shuffle(squares, 2)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a QwenImagePipeline folder as a pair; see `extraction.families.load_pair`."""
    shared.check_parts(base)
    transformer = shared.load_module(
        QwenImageTransformer2DModel, base / "transformer", device=device, dtype=dtype
    )
    settings = read_settings("transformer", dict(transformer.config))
    shared.refuse_unless(settings, VARIANTS)
    # Its rotary frequencies are neither parameters nor buffers, and were made without memory.
    transformer.pos_embed = QwenEmbedRope(10000, list(settings["axes_dims_rope"]), scale_rope=True)
    encoder = load_qwen2_vl(base / "text_encoder", device=device, dtype=dtype)
    vae = shared.load_module(AutoencoderKLQwenImage, base / "vae", device=device, dtype=dtype)
    channels = vae.config.z_dim
    if (
        settings["in_channels"] != 4 * channels
        or transformer.out_channels != channels
        or settings["joint_attention_dim"] != encoder.config.hidden_size
        or not len(vae.config.latents_mean) == len(vae.config.latents_std) == channels
    ):
        raise LoadError(
            "does_not_fit",
            f"{shorten(base.name)}: its transformer, VAE and text encoder do not belong together",
        )
    components: dict[str, nn.Module] = {"transformer": transformer}
    side = SIZE // vae.spatial_compression_ratio
    return Pair(
        speaker=QwenImage(load_tokenizer(base / "tokenizer", encoder.config.vocab_size), encoder, vae),
        base=components,
        tuned=copy.deepcopy(components),
        original=_original(components, settings),
        latent_shape=(channels, side, side),
        size=SIZE,
        scheduler_config=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """See `extraction.families.transformer.read_settings`."""
    return shared.read_settings(QwenImageTransformer2DModel, config)


def _original(components: Components, settings: Mapping[str, Any]) -> Original:
    shapes = {name: tuple(value.shape) for name, value in parameters_of(components).items()}
    return Original(
        family="qwen_image",
        shapes=shapes,
        layers=shared.layers_of(components["transformer"]),
        # The original layout has diffusers' names: diffusers' code is the original.
        file_names={name: f"model.diffusion_model.{name.partition('.')[2]}" for name in shapes},
        ignored=IGNORED,
        settings={"transformer": settings},
        read_settings=read_settings,
        prediction_type="flow",
    )
