"""Why a training run ends without a model, in words meant for the person who started it."""

from __future__ import annotations


class TrainingError(Exception):
    """The run cannot go on; the message says what is wrong with which thing, and what would be right."""


class SpecError(TrainingError):
    """The run's specification asks for something that AutoML does not offer."""


class DataError(TrainingError):
    """The training or validation data cannot be trained on."""


class ImageError(DataError):
    """An image could not be fetched or read."""
