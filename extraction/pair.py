"""A base model and its fine-tune, resident as twins; the tuned one is changed in place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from extraction import prediction_type
from extraction.adapters import Adapter, Word
from extraction.compiled import Compiled, Mode
from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.fine_tune import FineTune, open_fine_tune
from extraction.original import Original
from extraction.sampling import initial_noise
from extraction.vocabulary import teach
from extraction.weights import shorten

Components = Mapping[str, nn.Module]
"""The parts of a model that a fine-tune may change, by diffusers' names: "unet", "text_encoder"."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a fine-tune did to the base."""

    kind: str
    """ "full", or what kind of adapter; see `extraction.adapters.Adapter`."""
    layout: str
    """ "file" or "folder", or whose names an adapter has."""
    relative_change: float
    """Norm of the difference over the norm of the base, over all parameters; above 0 but for words alone."""
    tensors: int
    """How many of them differ."""
    notes: tuple[str, ...] = ()
    """What of the files had no say, such as a VAE."""
    words: tuple[str, ...] = ()
    """Words that it taught the text encoders; a prompt without them does not ask for it."""


class Speaker(Protocol):
    """How models of one family are spoken to; see `extraction.families`."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition: ...

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


class Pair:
    """Two models of one architecture: a constant base and a tuned twin, which begins as its copy.

    The twin's tensors keep their place in memory, so that compiled graphs stay valid.
    """

    def __init__(
        self,
        *,
        speaker: Speaker,
        base: Components,
        tuned: Components,
        original: Original,
        latent_shape: tuple[int, int, int],
        size: int,
        scheduler_config: Mapping[str, Any],
    ) -> None:
        self.family = original.family
        self.latent_shape = latent_shape
        """(C, h, w) at the model's own size."""
        self.size = size
        """Side of a picture in pixels."""
        self.prediction_type = original.prediction_type
        """ "epsilon", "v_prediction" or "flow"; see `extraction.noise_schedule.to_clean`."""
        self.scheduler_config = dict(scheduler_config)
        """The base's own."""
        self.original = original
        """What fine-tunes are matched to."""
        self.base_parameters = parameters_of(base)
        """Every parameter, as "unet.conv_in.weight"; never to be written to."""
        self.tuned_parameters = parameters_of(tuned)
        self._speaker = speaker
        self._models: tuple[Components, Components] = (base, tuned)
        self._taught: set[str] = set()
        self._layout = _layout(self.base_parameters.values())
        self._compiled = Compiled()

    @cached_property
    def _norm(self) -> float:
        return math.sqrt(sum(_square(value) for value in self.base_parameters.values()))

    @property
    def device(self) -> torch.device:
        return next(iter(self.base_parameters.values())).device

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.base_parameters.values())).dtype

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], *, tuned: bool) -> Condition:
        """Condition of each prompt by the tuned or the base's text encoders."""
        return self._speaker.encode(self._models[tuned], prompts)

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: Tensor, condition: Condition, *, tuned: bool) -> Tensor:
        """What the tuned or the base model predicts, as `prediction_type` says.

        Args:
            latents: (B, C, h, w).
            timestep: () or (B,), of the training schedule.
            condition: of B rows.
        """
        rows = latents.shape[0]
        latents, timestep, condition = self._compiled.padded(latents, timestep, condition)
        latents = latents.contiguous(memory_format=self._layout)
        prediction = self._speaker.predict(self._models[tuned], latents, timestep, condition)
        return self._compiled.kept(prediction, rows)

    def compile(self, mode: Mode, rows: int) -> None:
        """Compile both denoisers for forwards of `rows` latents; fewer are padded to as many.

        A swap of weights keeps the graph, another number of rows or size of picture makes a new one.
        """
        self._compiled = Compiled(mode, rows)
        for components in self._models:
            self._compiled.compile(components[self.original.components[0]])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures as uint8 (B, 3, H, W) on the CPU, by the base's VAE whichever model made the latents."""
        return self._speaker.decode(latents).cpu()

    @torch.no_grad()
    def reset(self) -> None:
        """Make the tuned twin the base again, in place."""
        for name, value in self.tuned_parameters.items():
            value.copy_(self.base_parameters[name])
        self._teach(())

    @torch.no_grad()
    def tune(self, path: Path, called: str | None = None) -> Change:
        """Make the tuned twin the fine-tune that lies at `path`, whatever it was before.

        `path` is a LoRA file (kohya's or diffusers' layout), a peft folder, a full single file in the
        original layout, or a diffusers folder. After an error the twin is the base.

        Args:
            called: the word of a textual inversion that does not say it; None is the file's own name.

        Raises:
            LoadError: "not_weights", "unsafe_file", "pickle_only" or "no_weights" (the files);
                "unsupported_kind", "does_not_fit" (what they hold), "not_finite", "same_as_base".
        """
        self.reset()
        fine_tune = open_fine_tune(path, self.original, called)
        try:
            change = self._take(fine_tune, shorten(path.name))
            if change.kind == "full" and self.prediction_type != "flow":
                tuned, base = self._slope(tuned=True), self._slope(tuned=False)
                if note := prediction_type.check(tuned, base, self.prediction_type):
                    change = replace(change, notes=(*change.notes, note))
            return change
        except LoadError:
            self.reset()
            raise

    @torch.inference_mode()  # as everything is drawn: another mode would be another compiled graph
    def _slope(self, *, tuned: bool) -> float:
        """Of a model's answer to pure noise, which shows what it predicts."""
        noise = initial_noise((0, 1), self.latent_shape, self.device, self.dtype)
        last = torch.tensor(self.scheduler_config.get("num_train_timesteps", 1000) - 1, device=self.device)
        condition = self.encode([""], tuned=tuned).expand(len(noise))
        return prediction_type.slope(self.predict(noise, last, condition, tuned=tuned), noise)

    def _take(self, fine_tune: FineTune, title: str) -> Change:
        square, changed = 0.0, 0
        for name, value in fine_tune.values(self.base_parameters):
            stored, target = self.base_parameters[name], self.tuned_parameters[name]
            target.copy_(value)
            if not bool(torch.isfinite(target).all()):
                raise LoadError(
                    "not_finite",
                    f"{title}: '{name}' overflows {self.dtype}; scan it with a recipe of dtype float32",
                )
            if not torch.equal(target, stored):
                changed += 1
                square += _square(target.float() - stored.float())
        words = fine_tune.words if isinstance(fine_tune, Adapter) else ()
        self._teach(words)
        if not changed and not words:
            raise LoadError(
                "same_as_base",
                f"{title}: every tensor equals the base's in {self.dtype}; nothing can be extracted from it",
            )
        return Change(
            fine_tune.kind,
            fine_tune.layout,
            math.sqrt(square) / self._norm,
            changed,
            fine_tune.notes,
            tuple(word.text for word in words),
        )

    def _teach(self, words: Sequence[Word]) -> None:
        """Put words beside the tuned text encoders' vocabularies, in place of those of another fine-tune."""
        taught = {name for word in words for name in word.vectors}
        for name in taught | self._taught:
            own = {word.text: word.vectors[name] for word in words if name in word.vectors}
            teach(self._models[True][name], own)
        self._taught = taught


def parameters_of(components: Components) -> dict[str, Tensor]:
    """Every parameter by one name, whatever the library's version: "unet.conv_in.weight".

    Before version 5, transformers put "text_model." before every name of a text model.
    """
    return {
        f"{component}.{name.removeprefix('text_model.')}": parameter.data
        for component, module in components.items()
        for name, parameter in module.named_parameters()
    }


def layers_of(components: Components) -> dict[str, tuple[int, ...]]:
    """Every layer that an adapter may change, with its weight's shape."""
    return {
        f"{component}.{path.removeprefix('text_model.')}": tuple(layer.weight.shape)
        for component, module in components.items()
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }


def _layout(parameters: Iterable[Tensor]) -> torch.memory_format:
    """Channels last where the convolutions are; see `extraction.families.build`."""
    kernels = [value for value in parameters if value.dim() == 4 and value[0, 0].numel() > 1]
    last = any(not value.is_contiguous() for value in kernels)
    return torch.channels_last if last else torch.contiguous_format


def _square(value: Tensor) -> float:
    """Squared Euclidean norm."""
    return float(torch.linalg.vector_norm(value.float()).item()) ** 2
