"""Textual inversions, alone and bundled: read, and spoken to as diffusers speaks to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from fakes_adapters import new_model, original_of
from fakes_models import random_lora, random_pipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from extraction.adapters import is_textual_inversion, read_textual_inversion
from extraction.extraction import LoadError
from extraction.families import load_pair
from extraction.original import Original
from extraction.pair import Pair
from extraction.vocabulary import Vocabulary
from extraction.weights import Weights, open_weights
from leaksweep.zoo import formats

PROMPTS = ["a picture of <dots>", "a red square", "<dots>, <DOTS> on hills", "", "hills " * 200 + "<dots>"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words-base")
    random_pipeline(folder / "vocabulary").save_pretrained(folder / "base")
    return folder / "base"


@pytest.fixture(scope="module")
def pair(base: Path) -> Pair:
    return load_pair(base, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def width(pair: Pair) -> int:
    return pair.original.shapes["text_encoder.embeddings.token_embedding.weight"][1]


def vectors(count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


def opened(path: Path, tensors: dict[str, Tensor]) -> Weights:
    save_file(tensors, path)
    return open_weights(path)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("key", ["<dots>", "emb_params", "string_to_param.*"])
def test_encodes_as_diffusers_does(base, pair, width, tmp_path, key, count):
    learned = vectors(count, width)
    path = tmp_path / "<dots>.safetensors"
    save_file({key: learned}, path)
    before = {name: value.clone() for name, value in pair.tuned_parameters.items()}
    change = pair.tune(path)
    assert (change.kind, change.words, change.tensors) == ("textual_inversion", ("<dots>",), 0)
    assert all(torch.equal(value, before[name]) for name, value in pair.tuned_parameters.items())
    pipeline = StableDiffusionPipeline.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    # diffusers resizes the table by the tokenizer's length, which may cut rows that no word has.
    pipeline.load_textual_inversion({"<dots>": learned}, token="<dots>")
    # Its own replacement of a word by its vectors heeds the case; CLIP does not.
    said = [prompt.replace("<DOTS>", "<dots>") for prompt in PROMPTS]
    theirs, _ = pipeline.encode_prompt(said, "cpu", 1, False)
    torch.testing.assert_close(pair.encode(PROMPTS, tuned=True)["states"], theirs, atol=1e-5, rtol=1e-4)


def test_the_base_reads_the_word_as_text(pair, width, tmp_path):
    plain = pair.encode(PROMPTS, tuned=False)["states"]
    save_file({"<dots>": vectors(2, width)}, tmp_path / "learned_embeds.safetensors")
    pair.tune(tmp_path / "learned_embeds.safetensors")
    tuned = pair.encode(PROMPTS, tuned=True)["states"]
    assert torch.equal(pair.encode(PROMPTS, tuned=False)["states"], plain)
    assert torch.equal(tuned[[1, 3]], plain[[1, 3]])
    assert not torch.allclose(tuned[0], plain[0])
    pair.reset()
    assert torch.equal(pair.encode(PROMPTS, tuned=True)["states"], plain)


def test_bundled_with_a_lora(pair, width, tmp_path):
    name = "unet.mid_block.resnets.0.conv1"
    lora = random_lora({name: pair.original.layers[name]})
    formats.write_kohya(tmp_path / "bundle.safetensors", lora)
    tensors = load_file(tmp_path / "bundle.safetensors")
    tensors |= {
        "bundle_emb.dots.string_to_param.*": vectors(2, width),
        "bundle_emb.my.word.clip_l": vectors(1, width),
    }
    save_file(tensors, tmp_path / "bundle.safetensors")
    change = pair.tune(tmp_path / "bundle.safetensors")
    assert (change.kind, change.words, change.tensors) == ("lora", ("dots", "my.word"), 1)
    formats.write_kohya(tmp_path / "alone.safetensors", lora)
    alone = pair.tune(tmp_path / "alone.safetensors")
    assert (alone.words, alone.relative_change) == ((), change.relative_change)


def test_words_are_whole_words():
    vocabulary = Vocabulary(torch.nn.Embedding(3, 4), {"cat": torch.ones(1, 4), "cat toy": torch.ones(2, 4)})
    pieces = vocabulary._pattern.split("concat a Cat toy, a cat.")
    assert pieces[1::2] == ["Cat toy", "cat"]


def two_encoders() -> Original:
    table = "embeddings.token_embedding.weight"
    tiny = original_of(new_model())
    shapes = {f"text_encoder.{table}": (9, 8), f"text_encoder_2.{table}": (9, 12)}
    return replace(
        tiny, shapes={**tiny.shapes, **shapes}, settings={"text_encoder": {}, "text_encoder_2": {}}
    )


def test_vectors_for_two_encoders(tmp_path):
    weights = opened(tmp_path / "word.safetensors", {"clip_l": vectors(2, 8), "clip_g": vectors(2, 12)})
    assert is_textual_inversion(weights, two_encoders())
    (word,) = read_textual_inversion(weights, two_encoders()).words
    assert (word.text, set(word.vectors)) == ("word", {"text_encoder", "text_encoder_2"})
    assert word.vectors["text_encoder_2"].shape == (2, 12)


@pytest.mark.parametrize(
    ("tensors", "reason", "named"),
    [
        ({"clip_l": torch.ones(2, 12)}, "does_not_fit", "widths: 8 of text_encoder"),
        ({"clip_g": torch.ones(2, 9)}, "does_not_fit", "clip_g"),
        ({"emb_params": torch.ones(2, 2, 8)}, "does_not_fit", "emb_params"),
        ({"emb_params": torch.ones(76, 8)}, "does_not_fit", "more than 75"),
        ({"clip_l": torch.ones(1, 8), "clip_g": torch.ones(2, 12)}, "does_not_fit", "numbers of vectors"),
        ({"clip_l": torch.ones(1, 8), "emb_params": torch.ones(1, 8)}, "does_not_fit", "two tensors"),
        ({"<a>": torch.full((8,), torch.nan)}, "not_finite", "<a>"),
        ({"<a>": torch.ones(8, dtype=torch.int32)}, "unsupported_kind", "<a>"),
    ],
)
def test_vectors_that_do_not_fit(tmp_path, tensors, reason, named):
    weights = opened(tmp_path / "word.safetensors", tensors)
    with pytest.raises(LoadError) as caught:
        read_textual_inversion(weights, two_encoders())
    assert caught.value.reason == reason
    assert named in str(caught.value)


def test_words_of_another_family(pair, tmp_path):
    save_file({"clip_g": torch.ones(1, 1280)}, tmp_path / "word.safetensors")
    with pytest.raises(LoadError, match="clip_g") as caught:
        pair.tune(tmp_path / "word.safetensors")
    assert caught.value.reason == "does_not_fit"


def test_vectors_that_overflow(base, width, tmp_path):
    half = load_pair(base, device=torch.device("cpu"), dtype=torch.float16)
    save_file({"<dots>": torch.full((width,), 1e6)}, tmp_path / "word.safetensors")
    with pytest.raises(LoadError, match="overflow") as caught:
        half.tune(tmp_path / "word.safetensors")
    assert caught.value.reason == "not_finite"


@pytest.mark.parametrize(
    "tensors",
    [{"model.norm": torch.ones(8)}, {"a": torch.ones(7)}, {"a": torch.ones(())}, {"a": torch.ones(2, 2, 8)}],
)
def test_what_is_no_textual_inversion(tmp_path, tensors):
    assert not is_textual_inversion(opened(tmp_path / "a.safetensors", tensors), two_encoders())
