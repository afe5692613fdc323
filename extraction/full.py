"""Full fine-tunes: a single file, or a diffusers folder, in place of the base's weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from extraction.extraction import LoadError
from extraction.folder import open_component, read_json
from extraction.original import Original, check_prediction_type
from extraction.weights import Weights, check_finite, shorten


@dataclass(frozen=True, slots=True)
class Full:
    """A whole model's weights, matched to the base's parameters."""

    layout: str
    sources: Mapping[str, tuple[Weights, str]]
    """Parameter -> the tensor that takes its place."""
    notes: tuple[str, ...]
    kind: str = "full"

    def values(self, base: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its new value."""
        for parameter, (weights, name) in self.sources.items():
            value = weights[name].to(base[parameter].device)
            if value.element_size() == 1:
                value = value.float()  # The 8-bit types have hardly any arithmetic.
            check_finite(name, value)
            yield parameter, value


def read_file(weights: Weights, original: Original) -> Full:
    """Match a single file: the family's original layout, or a UNet in diffusers' own names.

    Raises:
        LoadError: "does_not_fit" for tensors that are missing, left over or of another shape.
    """
    first = original.components[0]
    if any(f"{first}.{name}" in original.shapes for name in weights):
        sources = _match(first, dict.fromkeys(weights, weights), original)
        return Full("diffusers", sources, (_missing_note(original.components[1:]),))
    parameters = {name: parameter for parameter, name in original.file_names.items()}
    ignored = [name for name in weights if name not in parameters and original.ignored.search(name)]
    for name in weights:
        if name not in parameters and not original.ignored.search(name):
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to nothing that the base has; "
                "it is a fine-tune of another base or has parts that are not read",
            )
    sources = {parameters[name]: (weights, name) for name in weights if name in parameters}
    absent = [component for component in original.components if not _has(component, sources)]
    for component in original.components:
        if component == first or component not in absent:
            _check_complete(component, sources, original)
    notes = (
        [f"{len(ignored)} tensors without a say were left out, such as '{shorten(ignored[0])}'"]
        if ignored
        else []
    )
    return Full("file", _checked(sources, original), (*notes, *([_missing_note(absent)] if absent else [])))


def read_folder(folder: Path, original: Original) -> Full:
    """Match a diffusers folder, component by component.

    Raises:
        LoadError: "does_not_fit" for other settings, names or shapes than the base's; "pickle_only",
            "no_weights", "unsafe_file".
    """
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        check_prediction_type(read_json(scheduler).get("prediction_type"), original)
    sources: dict[str, tuple[Weights, str]] = {}
    absent = []
    for component in original.components:
        part = folder / component
        if not part.is_dir() and component != original.components[0]:
            absent.append(component)
            continue
        _check_settings(component, part, original)
        sources |= _match(component, open_component(part), original)
    notes = [_missing_note(absent)] if absent else []
    if (folder / "vae").is_dir():
        notes.append("its VAE was left out: pictures are decoded with the base's")
    return Full("folder", sources, tuple(notes))


def _missing_note(components: Collection[str]) -> str:
    return f"it brings no {' and no '.join(components)}: the base's was kept"


def _has(component: str, parameters: Collection[str]) -> bool:
    return any(parameter.startswith(f"{component}.") for parameter in parameters)


def _check_settings(component: str, folder: Path, original: Original) -> None:
    if not (folder / "config.json").is_file():
        return
    theirs = original.read_settings(component, read_json(folder / "config.json"))
    for name, ours in original.settings[component].items():
        if theirs[name] != ours:
            raise LoadError(
                "does_not_fit",
                f"its {component} has {name} {shorten(theirs[name])} and the base's {shorten(ours)}; "
                "it is a fine-tune of another base",
            )


def _match(
    component: str, tensors: Mapping[str, Weights], original: Original
) -> dict[str, tuple[Weights, str]]:
    """Match a component in diffusers' names."""
    sources = {}
    for name, weights in tensors.items():
        parameter = f"{component}.{name.removeprefix('text_model.')}"
        if name.endswith("position_ids"):
            continue  # Numbers 0, 1, 2 ... that older transformers saved.
        if parameter not in original.shapes:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to nothing in the base's {component}; "
                "it is a fine-tune of another base",
            )
        sources[parameter] = (weights, name)
    _check_complete(component, sources, original)
    return _checked(sources, original)


def _check_complete(component: str, sources: Mapping[str, object], original: Original) -> None:
    for parameter in original.shapes:
        if parameter.startswith(f"{component}.") and parameter not in sources:
            raise LoadError(
                "does_not_fit",
                f"'{parameter}' of the base is missing in it; it is incomplete or of another base",
            )


def _checked(sources: dict[str, tuple[Weights, str]], original: Original) -> dict[str, tuple[Weights, str]]:
    for parameter, (weights, name) in sources.items():
        found, needed = weights.shape(name), original.shapes[parameter]
        if found != needed:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' has the shape {found} and the base's '{parameter}' has {needed}; "
                "it is a fine-tune of another base",
            )
        if not weights.is_floating(name):
            raise LoadError(
                "unsupported_kind",
                f"tensor '{shorten(name)}' holds whole numbers; quantised weights are not read",
            )
    return sources
