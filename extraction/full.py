"""Full fine-tunes: a single file, or a diffusers folder, in place of the base's weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from extraction.extraction import LoadError
from extraction.folder import open_component, read_json
from extraction.original import Original, check_prediction_type
from extraction.single_file import INPUT, check_input, read_names
from extraction.source import Source, check
from extraction.weights import Weights, shorten


@dataclass(frozen=True, slots=True)
class Full:
    """A whole model's weights, matched to the base's parameters."""

    layout: str
    sources: Mapping[str, Source]
    """Parameter -> what takes its place."""
    notes: tuple[str, ...]
    kind: str = "full"

    def values(self, base: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its new value."""
        for parameter, source in self.sources.items():
            yield parameter, source.read(base[parameter].device)


def read_file(weights: Weights, original: Original) -> Full:
    """Match a single file: the family's original layout, or a denoiser in diffusers' own names.

    Raises:
        LoadError: "does_not_fit" for tensors that are missing, left over or of another shape;
            "unsupported_kind" for other inputs than latents, or weights in a form that is not read.
    """
    first = original.components[0]
    # All of them: original layouts may share the names of some layers with diffusers'.
    if all(f"{first}.{name}" in original.shapes for name in weights):
        sources = _match(first, dict.fromkeys(weights, weights), original)
        return Full("diffusers", sources, (_missing_note(original.components[1:]),))
    names = read_names(weights, original)
    sources, rows = {}, _rows(original)
    for parameter, place in original.file_names.items():
        if place in names.tensors:
            name, (part, total) = names.tensors[place], rows[parameter]
            source = Source(
                weights,
                name,
                original.shapes[parameter],
                part,
                original.turned.get(parameter),
                names.scales.get(name),
            )
            sources[parameter] = check(source, parameter, total=total)
    absent = [component for component in original.components if not _has(component, sources)]
    for component in original.components:
        if component == first or component not in absent:
            _check_complete(component, {*sources, *original.spared}, original)
    return Full("file", sources, (*names.notes, *([_missing_note(absent)] if absent else [])))


def read_folder(folder: Path, original: Original) -> Full:
    """Match a diffusers folder, component by component.

    Raises:
        LoadError: "does_not_fit" for other settings, names or shapes than the base's;
            "unsupported_kind"; "pickle_only", "no_weights", "unsafe_file".
    """
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        check_prediction_type(read_json(scheduler).get("prediction_type"), original)
    sources: dict[str, Source] = {}
    absent = []
    for component in original.components:
        part = folder / component
        if not part.is_dir() and component != original.components[0]:
            absent.append(component)
            continue
        tensors = open_component(part)
        if INPUT in tensors:
            check_input(tensors[INPUT].shape(INPUT), original)
        _check_settings(component, part, original)
        sources |= _match(component, tensors, original)
    notes = [_missing_note(absent)] if absent else []
    if (folder / "vae").is_dir():
        notes.append("its VAE was left out: pictures are decoded with the base's")
    return Full("folder", sources, tuple(notes))


def _rows(original: Original) -> dict[str, tuple[tuple[int, int] | None, int | None]]:
    """(rows of the tensor that hold it, rows in all) for each parameter; (None, None) for a whole tensor."""
    stacked: dict[str, list[str]] = {}
    for parameter, place in original.file_names.items():
        stacked.setdefault(place, []).append(parameter)
    rows: dict[str, tuple[tuple[int, int] | None, int | None]] = {}
    for parameters in stacked.values():
        if len(parameters) == 1:
            rows[parameters[0]] = (None, None)
            continue
        total = sum(original.shapes[parameter][0] for parameter in parameters)
        begin = 0
        for parameter in parameters:
            end = begin + original.shapes[parameter][0]
            rows[parameter] = ((begin, end), total)
            begin = end
    return rows


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


def _match(component: str, tensors: Mapping[str, Weights], original: Original) -> dict[str, Source]:
    """Match a component in diffusers' names."""
    if INPUT in tensors:
        check_input(tensors[INPUT].shape(INPUT), original)
    sources = {}
    for name, weights in tensors.items():
        parameter = f"{component}.{name.removeprefix('text_model.')}"
        if name.endswith(("position_ids", "pos_embed.pos_embed")):
            continue  # Numbers 0, 1, 2 ... that older transformers saved, and SD3's sines: never trained.
        if parameter not in original.shapes:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to nothing in the base's {component}; "
                "it is a fine-tune of another base",
            )
        sources[parameter] = Source(weights, name, original.shapes[parameter])
    _check_complete(component, sources, original)
    return {parameter: check(source, parameter) for parameter, source in sources.items()}


def _check_complete(component: str, sources: Collection[str], original: Original) -> None:
    for parameter in original.shapes:
        if parameter.startswith(f"{component}.") and parameter not in sources:
            raise LoadError(
                "does_not_fit",
                f"'{parameter}' of the base is missing in it; it is incomplete or of another base",
            )
