"""What speaks against a training, before it costs anything."""

from __future__ import annotations

from typing import Any

import pytest

from shared.datasets import Findings
from shared.training.checks import check_training
from tests.support import make_settings

SIZES = {"up to 224 px": 0, "up to 640 px": 1000}


def found(
    train: int = 1000, validation: int = 100, sizes: dict[str, int] = SIZES, **settings: object
) -> list[tuple[str, str, str]]:
    """Kind, weight and words of all that was found."""
    findings = Findings()
    figures: dict[str, Any] = {"images": {"train": train, "validation": validation, "test": 100}, "sizes": sizes}
    check_training(make_settings(**settings), figures, findings)
    return [(each.kind, each.weight, f"{each.text} -> {each.remedy}") for each in findings.found]


def test_the_defaults_raise_nothing() -> None:
    assert found() == []


def test_a_batch_that_can_not_fit_is_refused_and_one_that_may_not_is_a_warning() -> None:
    ((kind, weight, text),) = found(10_000, training_batch_size=512)
    assert (kind, weight) == ("gpu memory", "refusal")
    assert "vitb16r224 with 512 images at once (TRAINING_BATCH_SIZE) needs about" in text
    assert "by an estimate, and a GPU of Standard_NC4as_T4_v3 has 14.9 GiB" in text
    assert "set TRAINING_BATCH_SIZE to 48, or COMPUTE_SIZE to a size with more memory" in text
    assert found(10_000, training_batch_size=512, compute_size="Standard_NC24ads_A100_v4") == []
    ((_, weight, _),) = found(10_000, training_batch_size=120)
    assert weight == "warning"
    ((_, weight, text),) = found(validation_batch_size=4096)
    assert (weight, "VALIDATION_BATCH_SIZE" in text) == ("refusal", True)


def test_the_memory_of_each_model_of_a_sweep_is_checked() -> None:
    kinds = found(base_models="resnet18,vitl16r224", max_trials=8, training_batch_size=128)
    assert [text.split()[0] for kind, _, text in kinds if kind == "gpu memory"] == ["vitl16r224"]


def test_a_gpu_that_automl_does_not_take_is_refused_and_an_unknown_one_is_not_checked() -> None:
    ((_, weight, text),) = found(compute_size="Standard_NV12ads_A10_v5")
    assert weight == "refusal"
    assert "AutoML trains on none with less than 11.1 GiB" in text
    ((_, weight, text),) = found(compute_size="Standard_NC128_next")
    assert (weight, "is not checked" in text) == ("note", True)


def test_a_batch_that_is_nearly_the_whole_split_is_told_with_a_smaller_one() -> None:
    ((kind, weight, text),) = found(train=40)
    assert (kind, weight) == ("batch size", "warning")
    assert "40 images for training are 1 batch of 48 (AutoML's own): vitb16r224 learns in 15 steps" in text
    assert "set TRAINING_BATCH_SIZE to 3" in text
    ((_, _, text),) = found(train=40, training_batch_size=20)
    assert "2 batches of 20 (TRAINING_BATCH_SIZE)" in text
    assert found(train=40, training_batch_size=4) == []


def test_a_last_batch_of_one_image_is_refused_where_the_only_model_fails_with_it() -> None:
    ((kind, weight, text),) = found(train=781, base_models="resnest50", compute_size="Standard_NC24ads_A100_v4")
    assert (kind, weight) == ("batch size", "refusal")
    assert "set TRAINING_BATCH_SIZE to 77" in text
    weights = [weight for _, weight, _ in found(train=781, base_models="resnest50", max_trials=3)]
    assert weights == ["warning"]
    assert found(train=781, base_models="resnet50") == []


@pytest.mark.parametrize(
    ("settings", "weight", "words"),
    [
        ({"base_models": "auto", "max_trials": 4}, "warning", "set MAX_TRIALS to 10 to 20"),
        ({"base_models": "resnet18,resnet34,resnet50", "max_trials": 2}, "note", "MAX_TRIALS is 2; 3 trials are made"),
        ({"base_models": "resnet18,resnet34,resnet50", "max_trials": 4}, "warning", "4 trials draw from 3 models"),
        ({"max_trials": 200}, "warning", "the best of 200 trials is chosen by 100 images"),
    ],
)
def test_trials_are_held_against_models_and_images(settings: dict[str, object], weight: str, words: str) -> None:
    assert any(words in text and each == weight for kind, each, text in found(**settings) if kind == "trials")  # type: ignore[arg-type]


def test_enough_trials_of_several_models_raise_nothing() -> None:
    assert found(base_models="resnet18,resnet34", max_trials=6) == []
    assert found(base_models="auto", max_trials=10) == []


def test_small_images_are_told_when_they_are_many() -> None:
    ((kind, weight, text),) = found(sizes={"up to 224 px": 300, "up to 640 px": 700, "unknown": 50})
    assert (kind, weight) == ("small images", "warning")
    assert "300 of 1000 images have at most 224 px a side" in text
    assert found(sizes={"up to 224 px": 3, "up to 640 px": 700}) == []
