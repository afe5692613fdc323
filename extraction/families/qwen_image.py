"""Qwen-Image and its fine-tunes: two streams, of picture and text, read by a Qwen2.5-VL, and a video VAE."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from torch import Tensor
from transformers import Qwen2Tokenizer
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import language_model, mmdit, transformer, vae
from extraction.families.build import check_parts, read_config, settings_of
from extraction.folder import read_json
from extraction.pair import Components, Pair

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
class FrameDecoder:
    """Decodes latents as videos of one frame each."""

    vae: AutoencoderKLQwenImage
    pixels_at_once: int = 2**22
    """What goes through the VAE in one forward: 4 pictures of 1024 x 1024."""

    @property
    def channels(self) -> int:
        return int(self.vae.config.z_dim)

    @property
    def factor(self) -> int:
        return int(self.vae.spatial_compression_ratio)

    def decode(self, latents: Tensor) -> Tensor:
        return vae.in_parts(self._decode, latents, self.pixels_at_once // self.factor**2)

    def _decode(self, latents: Tensor) -> Tensor:
        mean, deviation = (
            torch.tensor(values, dtype=self.vae.dtype, device=latents.device)[:, None, None]
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        frames = (latents.to(self.vae.dtype) * deviation + mean).unsqueeze(2)
        return vae.to_bytes(self.vae.decode(frames, return_dict=False)[0][:, :, 0])


@dataclass(frozen=True, slots=True)
class QwenImage:
    """Speaks to the components of Qwen-Image."""

    tokenizer: Qwen2Tokenizer
    encoder: Qwen2_5_VLTextModel
    decoder: FrameDecoder

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": last hidden states (B, T, D) from the prompt on; "lengths": (B,)."""
        texts = [TEMPLATE.format(prompt) for prompt in prompts]
        tokens = language_model.tokenize(self.tokenizer, texts, SKIPPED + TOKENS, self.encoder.device)
        states: Tensor = self.encoder(tokens.ids, tokens.seen, use_cache=False).last_hidden_state
        return language_model.condition(states, tokens, skipped=SKIPPED)

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise."""
        transformer.check_even(latents)
        states, lengths = condition["states"], condition["lengths"]
        mask = None
        if int(lengths.min()) < states.shape[1]:
            mask = (torch.arange(states.shape[1]) < lengths[:, None]).to(states.device)
        rows, _, height, width = latents.shape
        packed: Tensor = components["transformer"](
            hidden_states=transformer.pack(latents),
            timestep=timestep.expand(rows).to(latents.dtype) / 1000,
            encoder_hidden_states=states,
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, height // 2, width // 2)]] * rows,
            return_dict=False,
        )[0]
        return transformer.unpack(packed, height // 2)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a QwenImagePipeline folder as a pair; see `extraction.families.load_pair`."""
    check_parts(base, ("transformer", "text_encoder", "vae"), ("tokenizer",))
    settings = read_settings("transformer", read_config(base / "transformer"))
    transformer.refuse_unless(settings, VARIANTS)
    encoder = language_model.load_qwen2_vl(base / "text_encoder", device=device, dtype=dtype)
    model = transformer.load_module(
        QwenImageTransformer2DModel, base / "transformer", device=device, dtype=dtype
    )
    decoder = FrameDecoder(
        transformer.load_module(AutoencoderKLQwenImage, base / "vae", device=device, dtype=dtype)
    )
    return assemble(
        model,
        QwenImage(
            language_model.load_tokenizer(base / "tokenizer", encoder.config.vocab_size), encoder, decoder
        ),
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def assemble(
    model: QwenImageTransformer2DModel,
    speaker: QwenImage,
    *,
    settings: Mapping[str, Any],
    scheduler: Mapping[str, Any],
) -> Pair:
    """A pair of parts that are loaded.

    Raises:
        LoadError: "does_not_fit" for parts that do not belong together.
    """
    channels, config = speaker.decoder.channels, speaker.decoder.vae.config
    told = (settings["in_channels"], model.out_channels, settings["joint_attention_dim"])
    if (
        told != (4 * channels, channels, speaker.encoder.config.hidden_size)
        or sum(settings["axes_dims_rope"]) != settings["attention_head_dim"]
        or not all(_one_each(values, channels) for values in (config.latents_mean, config.latents_std))
    ):
        raise LoadError(
            "does_not_fit",
            "its transformer, VAE and text encoder do not belong together; download the base again",
        )
    # Its rotary frequencies are neither parameters nor buffers, and were made without memory.
    model.pos_embed = QwenEmbedRope(10000, list(settings["axes_dims_rope"]), scale_rope=True)
    return mmdit.pair_of(
        "qwen-image",
        speaker,
        {"transformer": model},
        speaker.decoder,
        settings={"transformer": settings},
        read_settings=read_settings,
        scheduler=scheduler,
        table=(),  # The original layout has diffusers' names: diffusers' code is the original.
        ignored=IGNORED,
        side=SIZE // speaker.decoder.factor,
    )


def _one_each(values: object, channels: int) -> bool:
    """Whether a setting of the VAE is a number for each channel."""
    return (
        isinstance(values, list | tuple)
        and len(values) == channels
        and all(isinstance(value, int | float) for value in values)
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in the transformer's config decides what it computes, defaults filled in."""
    return settings_of(QwenImageTransformer2DModel, config)
