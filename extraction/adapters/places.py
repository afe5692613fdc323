"""Where in the base a name of an adapter file belongs, in every spelling that trainers use.

A spelling is a prefix, which says the component, and a path, in our own names or in those of the
family's original layout, with dots or with underscores for them. An underscore cannot be told from a
dot, so names are not taken apart but looked up among the base's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from extraction.original import Original, Shape, Turn

DENOISER = ""
"""Stands for the first component of a base, "unet" or "transformer"."""

UNDERSCORED = {
    "lora_unet_": DENOISER,
    "lora_transformer_": DENOISER,
    "lycoris_": DENOISER,
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": "text_encoder_3",
}
"""Before names with underscores: sd-scripts, its descendants, OneTrainer and LyCORIS."""

DOTTED = {
    "unet.": DENOISER,
    "transformer.": DENOISER,
    "diffusion_model.": DENOISER,
    "model.diffusion_model.": DENOISER,
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder_3.": "text_encoder_3",
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "": DENOISER,
}
"""Before names with dots: diffusers, peft, ai-toolkit, ComfyUI. The first that leads to a layer counts."""

PEFT = "base_model.model."
"""peft's own prefix, alone or behind a component's."""

ORIGINAL = "model.diffusion_model."
"""What the original layout has before every name of a denoiser."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one name of a file stands for."""

    component: str
    path: str
    """As the file spells it, without the prefix."""
    layers: tuple[str, ...]
    """Ours, as "unet.conv_in"; several where the original layout holds them one under the other."""
    turn: Turn | None = None
    """What makes our form of the original layout's; its own opposite."""


class Places:
    """Every layer of one base by component and path; made once for a file."""

    def __init__(self, original: Original) -> None:
        self._shapes = original.shapes
        self._components = original.components
        self._dotted: dict[tuple[str, str], tuple[tuple[str, ...], Turn | None]] = {}
        first = original.components[0]
        for parameter in original.shapes:
            layer = parameter.rpartition(".")[0]
            component, _, path = layer.partition(".")
            self._dotted.setdefault((component, path), ((layer,), None))
        theirs: dict[str, dict[str, Turn | None]] = {}
        for parameter, place in original.file_names.items():
            if parameter.startswith(f"{first}."):
                path = place.removeprefix(ORIGINAL).rpartition(".")[0]
                layer = parameter.rpartition(".")[0]
                theirs.setdefault(path, {}).setdefault(layer, original.turned.get(parameter))
        for path, layers in theirs.items():
            self._dotted.setdefault((first, path), (tuple(layers), next(iter(layers.values()))))
        self._underscored = {
            (component, path.replace(".", "_")): path for component, path in reversed(self._dotted)
        }

    def find(self, name: str) -> Place | None:
        """Where a layer's name in a file, as "lora_unet_conv_in" or "unet.conv_in", belongs."""
        name = name.removeprefix(PEFT)
        for prefix, component in UNDERSCORED.items():
            if name.startswith(prefix):
                component = component or self._components[0]
                short = name.removeprefix(prefix).removeprefix("text_model_")
                path = self._underscored.get((component, short))
                return None if path is None else self._at(component, path)
        for prefix, component in DOTTED.items():
            if name.startswith(prefix):
                short = name.removeprefix(prefix).removeprefix(PEFT).removeprefix("text_model.")
                if place := self._at(component or self._components[0], short):
                    return place
        return None

    def find_in(self, component: str, name: str) -> Place | None:
        """The same for a name that does not say its component."""
        return self._at(component, name.removeprefix(PEFT).removeprefix("text_model."))

    def shape(self, place: Place, kind: str = "weight") -> Shape | None:
        """Shape of a place's weight or bias, its layers one under the other; None when it has none."""
        shapes = [self._shapes.get(f"{layer}.{kind}") for layer in place.layers]
        found = [shape for shape in shapes if shape is not None]
        if len(found) < len(shapes):
            return None
        return (sum(shape[0] for shape in found), *found[0][1:])

    def _at(self, component: str, path: str) -> Place | None:
        if (component, path) not in self._dotted:
            return None
        return Place(component, path, *self._dotted[component, path])


def kohya_name(layer: str) -> str:
    """What sd-scripts calls a layer of Stable Diffusion 1 or 2: "unet.conv_in" is "lora_unet_conv_in"."""
    component, _, path = layer.partition(".")
    # The text model's own prefix is part of the name, though newer transformers have dropped it.
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}[component]
    return prefix + path.replace(".", "_")
