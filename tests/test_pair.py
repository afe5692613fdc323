"""The pair: where its tensors lie, what a swap leaves in place, and what a compiled graph survives."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from extraction.condition import Condition
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.pair import Components, Pair
from extraction.recipe import Recipe
from leaksweep.zoo.base import TOKENS, new_unet
from leaksweep.zoo.catalogue import BASE, CAPTION, WEIGHTS


def places(pair: Pair) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Address and strides of every parameter of the twin."""
    return {name: (value.data_ptr(), value.stride()) for name, value in pair.tuned_parameters.items()}


def test_convolutions_lie_channels_last_in_both_twins(zoo_pair: Pair):
    for parameters in (zoo_pair.base_parameters, zoo_pair.tuned_parameters):
        kernels = [value for value in parameters.values() if value.dim() == 4 and value.shape[-1] > 1]
        assert len(kernels) > 10
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@pytest.mark.parametrize("name", ["lora-kohya", "full-file"])
def test_a_swap_in_place_keeps_addresses_and_layout(zoo_pair: Pair, name: str):
    zoo_pair.reset()
    before = places(zoo_pair)
    zoo_pair.tune(WEIGHTS / f"{name}.safetensors")
    assert places(zoo_pair) == before
    zoo_pair.reset()
    assert places(zoo_pair) == before
    assert all(
        torch.equal(value, zoo_pair.base_parameters[parameter])
        for parameter, value in zoo_pair.tuned_parameters.items()
    )


class Meta:
    """Speaks to a UNet without memory: whatever the host wanted to read of its numbers would raise."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        return Condition({"states": torch.zeros(len(prompts), TOKENS, 64, device="meta")})

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        return components["unet"](latents, timestep, condition["states"], return_dict=False)[0]

    def decode(self, latents: Tensor) -> Tensor:
        return torch.zeros(latents.shape[0], 3, 64, 64, dtype=torch.uint8)


@dataclass
class Copies(TorchDispatchMode):
    """Counts what goes from the host to the device."""

    count: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        devices = {value.device.type for value in args if isinstance(value, Tensor)}
        # What has no operand there and ends there was sent; a sampler's factor on the CPU is an operand.
        self.count += devices == {"cpu"} and isinstance(result, Tensor) and result.device.type == "meta"
        return result


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_host_reads_nothing_of_the_device_and_sends_it_nothing_between_steps(
    zoo_pair: Pair, sampler: str, prediction: str
):
    unets = [new_unet().to("meta") for _ in range(2)]
    pair = Pair(
        speaker=Meta(),
        base={"unet": unets[0]},
        tuned={"unet": unets[1]},
        original=zoo_pair.original,
        latent_shape=zoo_pair.latent_shape,
        size=64,
        scheduler_config={**zoo_pair.scheduler_config, "prediction_type": prediction},
    )
    counts = []
    for steps in (2, 5):
        with Copies() as copies:
            list(Generator(pair, Recipe(sampler=sampler, steps=steps), "a cat").pictures(range(3), 3))
        counts.append(copies.count)
    # The noise and the timesteps, however many steps there are.
    assert counts == [2, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # inductor's own
def test_one_graph_serves_both_models_every_swap_and_a_short_last_batch():
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    recipe = Recipe(steps=2)
    pair.tune(WEIGHTS / "lora-kohya.safetensors")
    plain = list(Generator(pair, recipe, CAPTION).pictures(range(5), 3))
    pair.compile("on", 3)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = list(Generator(pair, recipe, CAPTION).pictures(range(5), 3))
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs <= 2
    with torch._dynamo.config.patch(error_on_recompile=True):
        pair.tune(WEIGHTS / "full-file.safetensors")
        other = list(Generator(pair, recipe, CAPTION).pictures(range(4), 3))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    assert [len(pictures) for pictures in compiled] == [3, 2]
    for same, different, seen in zip(plain, other, compiled, strict=True):
        count = min(len(same), len(different))
        assert np.abs(seen.astype(int) - same).mean() < 1
        assert np.abs(different[:count].astype(int) - same[:count]).mean() > 1


def living_bytes() -> int:
    """Bytes of all tensors' storages that Python can reach."""
    gc.collect()
    # A compiled graph keeps fake tensors, which have no storage.
    real = (Tensor, torch.nn.Parameter)
    tensors = (thing for thing in gc.get_objects() if type(thing) in real and thing.device.type == "cpu")
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def test_memory_does_not_grow_with_the_number_of_fine_tunes(zoo_pair: Pair):
    loras = [WEIGHTS / f"lora-{name}.safetensors" for name in ("kohya", "diffusers", "peft", "under")]
    zoo_pair.tune(loras[0])
    after_one = living_bytes()
    for path in (*loras[1:], WEIGHTS / "full-file.safetensors", *loras):
        zoo_pair.tune(path)
    assert living_bytes() == after_one
