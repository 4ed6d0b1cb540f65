"""From encoded images to predictions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from shared import preprocessing
from shared.errors import ImageRejectedError, ImageUnavailableError, LabelLoopError
from shared.inference import AHEAD, BATCH_SIZE, CARD_FILE, LABELS_FILE, MODEL_FILE, Classifier, Prediction, Source
from shared.preprocessing import Preprocessing
from tests.support import LABELS, plain_jpeg, write_bundle

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_predictions_come_in_order_and_a_bad_image_fails_itself_alone(tmp_path: Path) -> None:
    classifier = Classifier.load(write_bundle(tmp_path))
    images: list[bytes | ImageRejectedError] = [
        plain_jpeg(RED),
        b"broken",
        ImageRejectedError("was deleted"),
        *([plain_jpeg(GREEN)] * 20),
        plain_jpeg(BLUE),
    ]
    predictions = list(classifier.predict(images))
    assert predictions[0].labels == ("red",)
    assert "can't be decoded" in predictions[1].error
    assert predictions[2].error == "was deleted"
    assert [each.labels for each in predictions[3:23]] == [("green",)] * 20
    assert predictions[23].labels == ("blue",)
    assert all(0 <= value <= 1 for value in predictions[0].probabilities)
    assert len(predictions[0].probabilities) == len(LABELS)
    assert predictions[1].probabilities == ()


def test_no_images_give_no_predictions(tmp_path: Path) -> None:
    assert list(Classifier.load(write_bundle(tmp_path)).predict([])) == []


def test_each_label_has_its_own_threshold(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, scale=1.0)
    probability = Classifier.load(folder).predict([plain_jpeg(RED)]).__next__().probabilities[0]
    strict = Classifier(folder / "model.onnx", LABELS, {"red": probability + 0.001}, Preprocessing())
    lenient = Classifier(folder / "model.onnx", LABELS, {"red": probability - 0.001}, Preprocessing())
    assert next(strict.predict([plain_jpeg(RED)])).labels == ()
    assert next(lenient.predict([plain_jpeg(RED)])).labels == ("red",)


@pytest.mark.parametrize("missing", [LABELS_FILE, CARD_FILE])
def test_an_incomplete_bundle_names_the_missing_file(tmp_path: Path, missing: str) -> None:
    (write_bundle(tmp_path) / missing).unlink()
    with pytest.raises(LabelLoopError, match=f"{missing} is missing"):
        Classifier.load(tmp_path)


def test_labels_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    (folder / LABELS_FILE).write_text('["only one"]')
    with pytest.raises(LabelLoopError, match=r"3 outputs, but labels.json has 1 labels"):
        Classifier.load(folder)


def test_a_classifier_tells_what_it_runs_on(tmp_path: Path) -> None:
    assert "CPUExecutionProvider" in Classifier.load(write_bundle(tmp_path)).providers


@pytest.mark.parametrize("throughput", [False, True])
def test_the_ways_to_run_batches_give_the_same(tmp_path: Path, throughput: bool) -> None:
    folder = write_bundle(tmp_path)
    images = [plain_jpeg((10 * number % 256, 255 - 5 * number, 90)) for number in range(3 * BATCH_SIZE + 1)]
    alone = [next(Classifier.load(folder).predict([image])) for image in images]
    assert list(Classifier.load(folder, throughput=throughput).predict(images)) == alone


def opened(content: bytes | Exception, events: list[str] | None = None) -> Source:
    """A source that gives its content, or fails."""

    @contextmanager
    def source() -> Iterator[bytes]:
        if isinstance(content, Exception):
            raise content
        yield content
        if events is not None:
            events.append("closed")

    return source


def test_a_source_that_can_not_be_read_fails_itself_alone_and_may_be_tried_again(tmp_path: Path) -> None:
    images = [
        opened(plain_jpeg(RED)),
        opened(ImageUnavailableError("storage is busy")),
        opened(ImageRejectedError("was deleted")),
        opened(plain_jpeg(BLUE)),
    ]
    first, busy, gone, last = Classifier.load(write_bundle(tmp_path)).predict(images)
    assert (first.labels, last.labels) == (("red",), ("blue",))
    assert busy == Prediction(error="storage is busy", retry=True)
    assert gone == Prediction(error="was deleted")


def test_what_a_source_raises_unexpectedly_ends_the_prediction(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        list(Classifier.load(write_bundle(tmp_path)).predict([opened(ZeroDivisionError())]))


def test_sources_are_opened_only_so_far_ahead_and_closed_when_they_are_decoded(tmp_path: Path) -> None:
    given, events = [0], list[str]()

    def sources() -> Iterator[Source]:
        for _ in range(6 * BATCH_SIZE):
            given[0] += 1
            yield opened(plain_jpeg(RED), events)

    predictions = Classifier.load(write_bundle(tmp_path)).predict(sources())
    next(predictions)
    assert given[0] <= AHEAD + 2 * BATCH_SIZE
    assert len(list(predictions)) == len(events) - 1 == 6 * BATCH_SIZE - 1


def test_a_prediction_that_is_given_up_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    predictions = Classifier.load(write_bundle(tmp_path)).predict([plain_jpeg(RED)] * 3 * BATCH_SIZE)
    next(predictions)
    assert threading.active_count() > before
    predictions.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_image_whose_decoding_needs_more_memory_than_there_is_fails_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crop_of(image: Any, how: Preprocessing) -> NDArray[np.uint8]:
        if image.width == 1000:
            raise MemoryError
        return whole(image, how)

    whole = preprocessing.crop_of
    monkeypatch.setattr(preprocessing, "crop_of", crop_of)
    images = [plain_jpeg(RED), plain_jpeg(RED, (1000, 10)), plain_jpeg(BLUE)]
    first, huge, last = Classifier.load(write_bundle(tmp_path)).predict(images)
    assert (first.labels, last.labels) == (("red",), ("blue",))
    assert huge.error == "the image can't be decoded: MemoryError"


class Failing(Classifier):
    """A classifier whose network fails on batches above a size, and on images that are blue."""

    largest = BATCH_SIZE
    works = True

    def probabilities(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        blue = (inputs[:, 2].mean(axis=(1, 2)) > 2) & (inputs[:, 0].mean(axis=(1, 2)) < 0)
        if not self.works or len(inputs) > self.largest or blue.any():
            raise RuntimeError("CUDA failure 2: out of memory")
        return super().probabilities(inputs)


@pytest.fixture
def failing(tmp_path: Path) -> Failing:
    return Failing(write_bundle(tmp_path) / MODEL_FILE, LABELS, {}, Preprocessing())


def test_the_image_on_which_the_network_fails_is_found_and_the_others_are_predicted(failing: Failing) -> None:
    images = [plain_jpeg(GREEN)] * 20
    images[7] = plain_jpeg(BLUE)
    predictions = list(failing.predict(images))
    assert [each.labels for each in predictions] == [("green",)] * 7 + [()] + [("green",)] * 12
    assert predictions[7].error == "the model fails on this image: CUDA failure 2: out of memory"


def test_batches_that_do_not_fit_are_run_in_smaller_ones(failing: Failing) -> None:
    failing.largest = 3
    assert [each.labels for each in failing.predict([plain_jpeg(GREEN)] * 20)] == [("green",)] * 20


def test_a_network_that_fails_on_anything_is_no_images_fault(failing: Failing) -> None:
    failing.works = False
    with pytest.raises(RuntimeError, match="out of memory"):
        list(failing.predict([plain_jpeg(GREEN)] * 20))


def test_a_network_of_a_fixed_batch_size_is_given_full_batches(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    model = onnx.load(str(folder / MODEL_FILE))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, str(folder / MODEL_FILE))
    colours = [RED, GREEN, BLUE, RED, BLUE, RED]
    predictions = Classifier.load(folder).predict(plain_jpeg(colour) for colour in colours)
    assert [each.labels[0] for each in predictions] == ["red", "green", "blue", "red", "blue", "red"]


def test_a_network_that_gives_no_number_is_told_as_an_error(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, scale=float("nan"))
    (prediction,) = Classifier.load(folder).predict([plain_jpeg(RED)])
    assert prediction == Prediction(error="the model gave no number as this image's probability")


def test_the_surest_network_is_no_overflow(tmp_path: Path) -> None:
    (prediction,) = Classifier.load(write_bundle(tmp_path, scale=1e6)).predict([plain_jpeg(RED)])
    assert prediction.probabilities == (1.0, 0.0, 0.0)
