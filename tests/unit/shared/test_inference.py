"""From an image to probabilities."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageRejectedError, LabelLoopError
from shared.inference import CARD_FILE, LABELS_FILE, Classifier, Preprocessing, preprocess
from tests.support import LABELS, plain_jpeg, write_bundle

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_an_image_becomes_a_normalised_square_of_its_centre() -> None:
    image = Image.new("RGB", (512, 256), BLUE)
    image.paste(RED, (0, 0, 100, 256))
    inputs = preprocess(image, Preprocessing())
    assert inputs.shape == (3, 224, 224)
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[2], (1 - 0.406) / 0.225, rtol=1e-5)
    np.testing.assert_allclose(inputs[0], (0 - 0.485) / 0.229, rtol=1e-5)


def test_a_model_that_normalises_by_itself_gets_values_from_0_to_255() -> None:
    inputs = preprocess(Image.new("RGB", (300, 500), RED), Preprocessing(normalise=False))
    assert inputs[0].min() == inputs[0].max() == 255.0
    assert inputs[1].max() == 0.0


def test_preprocessing_survives_its_card() -> None:
    how = Preprocessing(resize=300, normalise=False)
    assert Preprocessing.from_json(how.to_json()) == how


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


def test_a_very_long_image_is_cropped_without_resizing_all_of_it() -> None:
    panorama = Image.new("RGB", (60_000, 20), BLUE)
    panorama.paste(RED, (29_990, 0, 30_010, 20))
    inputs = preprocess(panorama, Preprocessing(normalise=False))
    assert inputs.shape == (3, 224, 224)
    assert inputs[0, 112, 112] > 230, "its middle is red"
    assert inputs[2, 112, 112] < 25


def test_a_classifier_tells_what_it_runs_on(tmp_path: Path) -> None:
    assert "CPUExecutionProvider" in Classifier.load(write_bundle(tmp_path)).providers
