"""Prompts for a checkpoint: captions alone, guesses beside the empty prompt, names never by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes_scanner import lora

from crawler.checkpoint import Checkpoint, Prompt, PromptOrigin
from scanner.prompts import candidates, spoken, subject, word_of

NONE = Prompt(text="", origin=PromptOrigin.NONE)
CAPTION = Prompt(text="a photo of sks dog", origin=PromptOrigin.INSTANCE_PROMPT)
TAGS = Prompt(text="sks dog, beach", origin=PromptOrigin.KOHYA_TAGS)
TRIGGER = Prompt(text="sks", origin=PromptOrigin.TRIGGER_WORDS)


def checkpoint(*prompts: Prompt, path: str = "w.safetensors", title: str = "") -> Checkpoint:
    return replace(lora("w"), prompts=prompts, path=path, title=title)


def asked(found: Checkpoint, limit: int) -> list[Prompt]:
    return [one.prompt for one in candidates(found, limit)]


def test_captions_come_alone_and_best_first():
    assert asked(checkpoint(TAGS, CAPTION), 5) == [CAPTION, TAGS]
    assert asked(checkpoint(TAGS, CAPTION), 1) == [CAPTION]


def test_trigger_words_are_asked_beside_nothing():
    assert asked(checkpoint(TRIGGER), 1) == [TRIGGER]
    assert asked(checkpoint(TRIGGER), 2) == [TRIGGER, NONE]


def test_a_name_is_never_asked_by_itself():
    named = checkpoint(path="out/red_panda-LoRA_v2.safetensors")
    panda = Prompt(text="red panda", origin=PromptOrigin.NAME)
    assert asked(named, 1) == [NONE]
    assert asked(named, 3) == [panda, NONE]
    assert [one.reason for one in candidates(named, 3)] == [
        "the words of the file's name",
        "asked without a prompt",
    ]


def test_nothing_at_all_is_the_unconditional_form():
    [only] = candidates(checkpoint(), 5)
    assert only.prompt == NONE
    assert "nothing tells" in only.reason


def test_a_text_is_asked_once_whatever_its_origins():
    again = Prompt(text="SKS", origin=PromptOrigin.TRIGGER_WORDS)
    assert asked(checkpoint(TRIGGER, again, title="sks"), 5) == [TRIGGER, NONE]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sks_dog-LoRA_v2", "sks dog"),
        ("MonetStyle_SDXL_v1.0", "Monet Style"),
        ("pytorch_lora_weights", ""),
        ("diffusion_pytorch_model.fp16", ""),
        ("v1-5-pruned-emaonly", ""),
        ("0f3a9c21bd7e44aa", ""),
        ("x", ""),
        ("", ""),
        ("猫の写真_lora", "猫の写真"),
        ("a b c d e f g h i j k", "a b c d e f g h"),
    ],
)
def test_the_words_of_a_name(name: str, words: str):
    assert subject(name) == words


def test_a_name_of_ten_thousand_letters_is_read_in_no_time():
    assert len(subject("Aa" * 5000)) <= 20_000


def test_taught_words_are_said_once_and_never_left_out() -> None:
    assert spoken(["a <Dog> on grass", ""], ["<dog>"], alone=True) == ["a <Dog> on grass", "<dog>"]
    assert spoken(["a dog", ""], ["<dog>"], alone=False) == ["a dog, <dog>", ""]
    assert spoken(["", "<a>, <b>"], ["<a>", "<b>"], alone=True) == ["<a> <b>", "<a>, <b>"]
    assert spoken(["a", "b"], (), alone=True) == ["a", "b"]
    assert spoken(["", "x"], ["x"], alone=True) == ["x"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("my style.safetensors", "my style"),
        ("a/<dog>.safetensors", "<dog>"),
        ("", None),
        ("a\u202eb.pt", None),
    ],
)
def test_a_textual_inversion_is_called_as_its_file(path: str, word: str | None) -> None:
    assert word_of(replace(lora("cats"), path=path)) == word
