"""SD3's names in single files of the original layout, as its own code and ComfyUI write them."""

from __future__ import annotations

import re

from extraction.families.mmdit import Table

TABLE: Table = (
    (
        r"\btransformer_blocks\.(\d+)\.(?=\w+_context\b|attn\.(?:add|norm_added|to_add))",
        r"joint_blocks.\1.context_block.",
    ),
    (r"\btransformer_blocks\.(\d+)\.", r"joint_blocks.\1.x_block."),
    (r"\b(attn2?)\.(?:to|add)_[qkv](?:_proj)?\b", r"\1.qkv"),
    (r"\b(attn2?)\.(?:to_out\.0|to_add_out)\b", r"\1.proj"),
    (r"\b(attn2?)\.norm_(?:added_)?([qk])\b", r"\1.ln_\2"),
    (r"\bnorm1(?:_context)?\.linear\b", "adaLN_modulation.1"),
    (r"\bff(?:_context)?\.net\.0\.proj\b", "mlp.fc1"),
    (r"\bff(?:_context)?\.net\.2\b", "mlp.fc2"),
    (r"\bpos_embed\.proj\b", "x_embedder.proj"),
    (r"\btime_text_embed\.timestep_embedder\.linear_1\b", "t_embedder.mlp.0"),
    (r"\btime_text_embed\.timestep_embedder\.linear_2\b", "t_embedder.mlp.2"),
    (r"\btime_text_embed\.text_embedder\.linear_1\b", "y_embedder.mlp.0"),
    (r"\btime_text_embed\.text_embedder\.linear_2\b", "y_embedder.mlp.2"),
    (r"^transformer\.norm_out\.linear\b", "transformer.final_layer.adaLN_modulation.1"),
    (r"^transformer\.proj_out\b", "transformer.final_layer.linear"),
)

IGNORED = re.compile(
    r"^(first_stage_model|vae|text_encoders\.t5xxl)\.|^(model\.diffusion_model\.)?pos_embed$|"
    r"^text_encoders\.clip_[lg]\.(logit_scale|transformer\.text_model\.embeddings\.position_ids)$"
)
"""Of a single file: VAE, T5, the sines, and CLIP's parts that make no hidden state."""
