"""A module from its config and its safetensors: strictly, without a hub and without a random number.

The libraries' own `from_pretrained` fills what a file lacks with random weights and only warns; here
every tensor has to be there, and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from extraction.extraction import LoadError
from extraction.folder import open_component, read_json
from extraction.weights import check_finite, shorten

Module = TypeVar("Module", bound=nn.Module)
Rename = Callable[[str], str | None]
"""A tensor's name to the one that all versions of the libraries agree on; None for one without a say."""

LOOPS = {
    "layers_per_block",
    "transformer_layers_per_block",
    "num_hidden_layers",
    "num_layers",
    "num_single_layers",
}
CONSTRUCTION_ERRORS = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
)
"""What the libraries raise for a config that makes no sense."""


def read_config(folder: Path) -> dict[str, Any]:
    """A component's config, its numbers held against limits before anything is built from it.

    Raises:
        LoadError: "missing_base" or "unsafe_file".
    """
    config = raw_config(folder)
    for name, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        most = 128 if name in LOOPS else 2**20
        if len(numbers) > 16 or any(isinstance(number, int) and abs(number) > most for number in numbers):
            raise LoadError(
                "unsafe_file",
                f"{shorten(folder.name)}/config.json: {shorten(name)} is outside the limits; leave it out",
            )
    return config


def raw_config(folder: Path) -> dict[str, Any]:
    """A component's config as it lies there.

    Raises:
        LoadError: "missing_base", or what `extraction.folder.read_json` says of the file.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise LoadError(
            "missing_base", f"{shorten(folder.name)}: no config.json there; download the base again"
        )
    return read_json(path)


def check_parts(base: Path, components: tuple[str, ...], tokenizers: tuple[str, ...]) -> None:
    """Raise unless a base's folder holds what its pipeline is made of.

    Raises:
        LoadError: "missing_base".
    """
    configs = [f"{component}/config.json" for component in components]
    for part in (*configs, "scheduler/scheduler_config.json", *tokenizers):
        if not (base / part).exists():
            raise LoadError("missing_base", f"{shorten(base)}: no {part} there; download the base again")


def without_notes(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's settings, without the notes that diffusers writes into it."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def settings_of(cls: type[nn.Module], config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that a class of diffusers is made by, as a config gives it or by default."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if name != "self"
    }
    values = defaults | {name: value for name, value in config.items() if name in defaults}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def build(
    make: Callable[[], Module],
    folder: Path,
    *,
    rename: Rename,
    device: torch.device,
    dtype: torch.dtype,
    buffers: Mapping[str, Tensor] = MappingProxyType({}),
) -> Module:
    """Make a module and fill it with its folder's weights, frozen and in evaluation mode.

    Args:
        make: builds it; called where tensors have no memory yet.
        buffers: values that no file holds, by name, such as rotary frequencies; they keep their dtype.

    Raises:
        LoadError: "missing_base" without weights, "does_not_fit" when they do not fit the config,
            "unsupported_family" for a config that cannot be built, "not_finite".
    """
    module = make_on_meta(make, folder.name)
    tensors = _open(folder)
    renamed = {rename(name): (name, weights) for name, weights in tensors.items()}
    parameters = {rename(name): parameter for name, parameter in module.named_parameters()}
    for key in parameters.keys() ^ (renamed.keys() - {None}):
        fault = "is missing" if key in parameters else "is not known"
        raise LoadError(
            "does_not_fit",
            f"{shorten(folder.name)}: tensor '{shorten(key)}' {fault}; the base's config and weights differ",
        )
    for key, parameter in parameters.items():
        name, weights = renamed[key]
        if weights.shape(name) != tuple(parameter.shape):
            raise LoadError(
                "does_not_fit",
                f"{shorten(folder.name)}: tensor '{shorten(name)}' has the shape {weights.shape(name)} "
                f"where the base's config needs {tuple(parameter.shape)}",
            )
    give_memory(module, device=device, dtype=dtype, buffers=buffers)
    for own, parameter in module.named_parameters():
        name, weights = renamed[rename(own)]
        parameter.copy_(weights[name])
        check_finite(name, parameter)
    return module


def make_on_meta(make: Callable[[], Module], name: str) -> Module:
    """Make a module whose tensors have shapes and no memory.

    Args:
        name: of the component, for the message.

    Raises:
        LoadError: "unsupported_family" for a config that cannot be built.
    """
    try:
        with torch.device("meta"):
            return make()
    except CONSTRUCTION_ERRORS as error:
        raise LoadError(
            "unsupported_family", f"{shorten(name)}/config.json cannot be built: {shorten(error)}"
        ) from error


def give_memory(
    module: nn.Module,
    *,
    device: torch.device,
    dtype: torch.dtype,
    buffers: Mapping[str, Tensor] = MappingProxyType({}),
) -> None:
    """Give a module from `make_on_meta` memory: its buffers their values, its parameters none yet."""
    # Not the library's own `to`, which warns of layers kept in fp32 even where there are none. Convolutions
    # are faster with channels last, on CPUs as on tensor cores; only weights of four dimensions have them.
    nn.Module.to(module, dtype)
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    module.to_empty(device=device).requires_grad_(False).eval()
    _fill_buffers(module, buffers)


def _open(folder: Path) -> Mapping[str, Any]:
    try:
        return open_component(folder)
    except LoadError as error:
        if error.reason == "no_weights":
            raise LoadError("missing_base", str(error)) from error
        raise


def _fill_buffers(module: nn.Module, known: Mapping[str, Tensor]) -> None:
    """Give the buffers that no file holds their values: the caller's, and CLIP's count of positions."""
    for name, buffer in list(module.named_buffers()):
        parent, _, leaf = name.rpartition(".")
        if name in known:
            setattr(module.get_submodule(parent), leaf, known[name].to(buffer.device))
        elif leaf == "position_ids":
            buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
        else:
            raise LoadError(
                "unsupported_family",
                f"buffer '{name}' of {type(module).__name__} is not known; use the pinned versions",
            )
