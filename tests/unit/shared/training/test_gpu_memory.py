"""The estimate of GPU memory against what is documented."""

from __future__ import annotations

import pytest

from shared.settings import BASE_MODELS
from shared.training.checks import CLEARLY
from shared.training.gpu_memory import (
    DEFAULT_BATCH_SIZES,
    LEAST_MIB,
    largest_batch,
    memory_of,
    training_need,
    validation_need,
)

T4, A100 = "Standard_NC4as_T4_v3", "Standard_NC24ads_A100_v4"


@pytest.mark.parametrize("model", BASE_MODELS)
def test_automls_own_batches_of_12_gib_are_never_refused_on_a_gpu_of_12_gib(model: str) -> None:
    own = DEFAULT_BATCH_SIZES[model]
    assert training_need(model, own) < CLEARLY * 12 * 1024
    assert validation_need(model, own) < 12 * 1024


@pytest.mark.parametrize("model", BASE_MODELS)
@pytest.mark.parametrize("size", [T4, A100])
def test_the_largest_batch_fits_and_one_image_more_does_not(model: str, size: str) -> None:
    memory = memory_of(size)
    assert memory
    most = largest_batch(model, memory)
    assert training_need(model, most) <= memory
    assert training_need(model, most + 1) > memory - 1


def test_four_times_the_pixels_need_four_times_the_memory_of_an_image() -> None:
    one, two = training_need("resnet50", 1), training_need("resnet50", 2)
    assert training_need("resnet50", 1, crop_size=448) - one == pytest.approx(3 * (two - one), abs=2)
    assert largest_batch("resnet50", 100) == 0


def test_memory_is_that_of_one_gpu_in_any_spelling_and_unknown_for_other_sizes() -> None:
    assert memory_of("standard_nc64AS_t4_v3") == memory_of(T4) == pytest.approx(15_259, abs=1)
    assert memory_of("Standard_D4s_v3") is None
    assert memory_of("Standard_NC24ads_A100_v40") is None
    sliced, whole = memory_of("Standard_NV12ads_A10_v5"), memory_of("Standard_NV36ads_A10_v5")
    assert sliced is not None
    assert whole is not None
    assert sliced < LEAST_MIB < whole
