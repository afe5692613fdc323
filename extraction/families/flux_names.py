"""FLUX.1's names in single files of the original layout, as its own code and ComfyUI write them."""

from __future__ import annotations

import re

from extraction.families.mmdit import Table

TABLE: Table = (
    (r"\b(?<!single_)transformer_blocks\.(\d+)\.", r"double_blocks.\1."),
    (r"\bsingle_transformer_blocks\.(\d+)\.", r"single_blocks.\1."),
    (r"\b(single_blocks\.\d+)\.(?:attn\.to_[qkv]|proj_mlp)\b", r"\1.linear1"),
    (r"\b(single_blocks\.\d+)\.proj_out\b", r"\1.linear2"),
    (r"\b(single_blocks\.\d+)\.norm\.linear\b", r"\1.modulation.lin"),
    (r"\b(single_blocks\.\d+)\.attn\.norm_q\.weight\b", r"\1.norm.query_norm.scale"),
    (r"\b(single_blocks\.\d+)\.attn\.norm_k\.weight\b", r"\1.norm.key_norm.scale"),
    (r"\battn\.to_[qkv]\b", "img_attn.qkv"),
    (r"\battn\.add_[qkv]_proj\b", "txt_attn.qkv"),
    (r"\battn\.to_out\.0\b", "img_attn.proj"),
    (r"\battn\.to_add_out\b", "txt_attn.proj"),
    (r"\battn\.norm_q\.weight\b", "img_attn.norm.query_norm.scale"),
    (r"\battn\.norm_k\.weight\b", "img_attn.norm.key_norm.scale"),
    (r"\battn\.norm_added_q\.weight\b", "txt_attn.norm.query_norm.scale"),
    (r"\battn\.norm_added_k\.weight\b", "txt_attn.norm.key_norm.scale"),
    (r"\bnorm1\.linear\b", "img_mod.lin"),
    (r"\bnorm1_context\.linear\b", "txt_mod.lin"),
    (r"\bff\.net\.0\.proj\b", "img_mlp.0"),
    (r"\bff\.net\.2\b", "img_mlp.2"),
    (r"\bff_context\.net\.0\.proj\b", "txt_mlp.0"),
    (r"\bff_context\.net\.2\b", "txt_mlp.2"),
    (r"\btime_text_embed\.timestep_embedder\b", "time_in"),
    (r"\btime_text_embed\.text_embedder\b", "vector_in"),
    (r"\btime_text_embed\.guidance_embedder\b", "guidance_in"),
    (r"\b(time_in|vector_in|guidance_in)\.linear_1\b", r"\1.in_layer"),
    (r"\b(time_in|vector_in|guidance_in)\.linear_2\b", r"\1.out_layer"),
    (r"^transformer\.context_embedder\b", "transformer.txt_in"),
    (r"^transformer\.x_embedder\b", "transformer.img_in"),
    (r"^transformer\.norm_out\.linear\b", "transformer.final_layer.adaLN_modulation.1"),
    (r"^transformer\.proj_out\b", "transformer.final_layer.linear"),
)

IGNORED = re.compile(
    r"^(first_stage_model|vae|text_encoders\.t5xxl)\.|"
    r"^text_encoders\.clip_l\.(logit_scale|transformer\.text_projection\.weight|"
    r"transformer\.text_model\.embeddings\.position_ids)$"
)
"""Of a single file: VAE, T5, and CLIP's parts that do not make its pooled output."""
