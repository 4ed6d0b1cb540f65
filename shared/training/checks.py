"""Whether a training can succeed with its settings: said before a job is submitted, since the SDK checks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.training.gpu_memory import (
    CROP_SIZE,
    DEFAULT_BATCH_SIZES,
    LEAST_MIB,
    largest_batch,
    memory_of,
    training_need,
    validation_need,
)

if TYPE_CHECKING:
    from shared.datasets import Findings
    from shared.settings import Settings

# An estimate that exceeds the memory by more is no matter of its error; see gpu_memory.py.
CLEARLY = 1.5
# "Running between 10 and 20 trials works well on many datasets":
# https://learn.microsoft.com/azure/machine-learning/how-to-auto-train-image-models#triggering-automode
AUTO_MODE_TRIALS = 10
# AutoML's default: https://learn.microsoft.com/azure/machine-learning/reference-automl-images-hyperparameters
EPOCHS = 15
# With fewer steps an epoch AutoML's default learning rate, which warms up over two epochs, has hardly moved a model.
LEAST_STEPS = 3
# From this share of small images on they are told.
SMALL_SHARE = 0.1
# They normalise what is left of an image when it has been averaged to one pixel, and so can't train on one image.
_NEED_TWO_IMAGES = frozenset({"resnest50", "resnest101"})


def check_training(settings: Settings, figures: Mapping[str, Any], findings: Findings) -> None:
    """Add to `findings` what speaks against a training, as refusals, warnings and notes, each with what to do.

    `figures` are those of the export's report: `images` by split, and `sizes`.
    """
    images = figures.get("images") or {}
    train, validation = int(images.get("train", 0)), int(images.get("validation", 0))
    _check_trials(settings, validation, findings)
    _check_memory(settings, findings)
    for model in settings.base_models:
        _check_steps(settings, model, train, findings)
    _check_sizes(figures.get("sizes") or {}, findings)


def _check_trials(settings: Settings, validation: int, findings: Findings) -> None:
    models, trials = len(settings.base_models), settings.max_trials
    if not models and trials < AUTO_MODE_TRIALS:
        text = f"AutoML chooses models and parameters itself, and MAX_TRIALS is {trials}"
        remedy = f"set MAX_TRIALS to {AUTO_MODE_TRIALS} to {2 * AUTO_MODE_TRIALS}, which AutoML suggests for that"
        findings.add("trials", "warning", text, remedy=remedy)
    if models > 1 and trials < models:
        text = f"BASE_MODELS names {models} models and MAX_TRIALS is {trials}; {models} trials are made"
        findings.add("trials", "note", text, remedy="set MAX_TRIALS to at least the number of models")
    made = max(trials, models)
    if models > 1 and made < 2 * models:
        text = f"{made} trials draw from {models} models at random, so that some of them may never be tried"
        findings.add("trials", "warning", text, remedy=f"set MAX_TRIALS to {3 * models}, or name fewer BASE_MODELS")
    if made > 1 and 0 < validation < made:
        text = f"the best of {made} trials is chosen by {validation} images for validation, which is a matter of chance"
        findings.add("trials", "warning", text, remedy="lower MAX_TRIALS, or label more images")


def _check_memory(settings: Settings, findings: Findings) -> None:
    size, memory = settings.compute_size, memory_of(settings.compute_size)
    if memory is None:
        text = f"whether batches fit the GPU is not checked, since the memory of {size} is not known here"
        findings.add("gpu memory", "note", text)
        return
    if memory < LEAST_MIB:
        text = f"a GPU of {size} has {_gib(memory)}, and AutoML trains on none with less than {_gib(LEAST_MIB)}"
        findings.add("gpu memory", "refusal", text, remedy="set COMPUTE_SIZE to a size with a whole GPU")
        return
    for model in settings.base_models:
        own = DEFAULT_BATCH_SIZES[model]
        batch, validated = settings.training_batch_size or own, settings.validation_batch_size or own
        for setting, count, need in (
            ("TRAINING_BATCH_SIZE", batch, training_need(model, batch)),
            ("VALIDATION_BATCH_SIZE", validated, validation_need(model, validated)),
        ):
            if need <= memory:
                continue
            text = (
                f"{model} with {count} images at once ({setting}) needs about {_gib(need)} of GPU memory, by an"
                f" estimate, and a GPU of {size} has {_gib(memory)}"
            )
            remedy = f"set {setting} to {_advised(model, memory)}, or COMPUTE_SIZE to a size with more memory"
            findings.add("gpu memory", "refusal" if need > CLEARLY * memory else "warning", text, remedy=remedy)


def _advised(model: str, memory: int) -> str:
    """A batch size that has room to spare."""
    return str(max(min(largest_batch(model, memory) * 3 // 4, DEFAULT_BATCH_SIZES[model]), 1))


def _check_steps(settings: Settings, model: str, train: int, findings: Findings) -> None:
    own = DEFAULT_BATCH_SIZES[model]
    batch = settings.training_batch_size or own
    steps = -(-train // batch)
    whose = "TRAINING_BATCH_SIZE" if settings.training_batch_size else "AutoML's own"
    if 0 < steps < LEAST_STEPS:
        text = (
            f"{train} images for training are {steps} batch{'es' if steps > 1 else ''} of {batch} ({whose}):"
            f" {model} learns in {steps * EPOCHS} steps in all, which may be too few"
        )
        remedy = f"set TRAINING_BATCH_SIZE to {max(train // (4 * LEAST_STEPS), 2)} or so"
        findings.add("batch size", "warning", text, remedy=remedy)
    if model in _NEED_TWO_IMAGES and train % batch == 1:
        only = len(settings.base_models) == 1 and settings.max_trials == 1
        text = f"the last of the batches of {batch} has one image, with which {model} fails"
        remedy = f"set TRAINING_BATCH_SIZE to {batch - 1 if train % max(batch - 1, 1) != 1 else batch - 2}"
        findings.add("batch size", "refusal" if only else "warning", text, remedy=remedy)


def _check_sizes(sizes: Mapping[str, int], findings: Findings) -> None:
    """`sizes` are classes of the longer side."""
    known = sum(count for name, count in sizes.items() if name != "unknown")
    small = sizes.get(f"up to {CROP_SIZE} px", 0)
    if known and small >= SMALL_SHARE * known:
        text = (
            f"{small} of {known} images have at most {CROP_SIZE} px a side and are enlarged, since models are trained"
            f" on {CROP_SIZE} x {CROP_SIZE} px"
        )
        findings.add("small images", "warning", text, small, remedy="label the originals, if there are larger ones")


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"
