"""Names of an OpenCLIP text encoder in single files: Stable Diffusion 2's, and SDXL's second one.

The layout holds query, key and value of a layer one under the other in one tensor, and the projection
transposed and without ".weight".
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

OUTSIDE = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
}
INSIDE = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
STACKED = ("q_proj", "k_proj", "v_proj")


def open_clip_names(names: Collection[str], prefix: str) -> dict[str, str]:
    """Name of each parameter of a CLIP text model in the single file.

    Parameters that share a tensor follow each other in the order in which they lie in it.
    """
    places = {name: prefix + OUTSIDE[name] for name in names if name in OUTSIDE}
    layers = dict.fromkeys(name.split(".")[2] for name in names if name.startswith("encoder.layers."))
    for layer in layers:
        ours, theirs = f"encoder.layers.{layer}", f"{prefix}transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            for path, other in INSIDE.items():
                places[f"{ours}.{path}.{kind}"] = f"{theirs}.{other}.{kind}"
            for part in STACKED:
                places[f"{ours}.self_attn.{part}.{kind}"] = f"{theirs}.attn.in_proj_{kind}"
    return places


def transpose(tensor: Tensor) -> Tensor:
    """What makes a projection of the layout's."""
    return tensor.t()
