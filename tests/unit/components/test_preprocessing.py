"""What input an ONNX file expects, on both exports of one trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.register_model.evaluation import Scores
from components.register_model.preprocessing import expected_preprocessing, log_loss
from local.automl import efficientnet, features, head
from local.automl.dataset import Example
from shared.errors import LabelLoopError
from shared.inference import Classifier
from shared.preprocessing import Preprocessing
from tests.support import write_bundle
from tests.unit.components.support import scores
from tests.unit.local.automl.conftest import png

LABELS = ("reddish", "striped")
# Noise and stripes of every combination.
TRUTH = np.array([[bool(number & 1), bool(number & 2)] for number in range(16)])
IMAGES = [png(number, reddish=reddish, striped=striped) for number, (reddish, striped) in enumerate(TRUTH.tolist())]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """One trained model as two files: one that normalises by itself, and one that does not."""
    session = features.open_session(efficientnet.build_model(None, normalize_inside=True).SerializeToString())
    examples = [Example(str(number), "images", str(number), frozenset()) for number in range(len(IMAGES))]
    pooled = features.extract(examples, lambda example: IMAGES[int(example.path)], session)
    layer = head.train(pooled, TRUTH, 0.03)
    files = {inside: tmp_path_factory.mktemp("export") / f"{inside}.onnx" for inside in (True, False)}
    for inside, file in files.items():
        file.write_bytes(efficientnet.build_model(layer, normalize_inside=inside).SerializeToString())
    return files


def scorer(classifier: Classifier) -> Callable[[], Scores]:
    """Scores of the images, however the classifier is set up at that time."""
    return lambda: Scores(LABELS, TRUTH, np.array([each.probabilities for each in classifier.predict(IMAGES)]))


@pytest.mark.parametrize("told", ["by the training", "by the MLflow model", "by nobody"])
def test_both_exports_give_the_same_answer(exports: dict[bool, Path], told: str) -> None:
    answers = []
    for inside, file in exports.items():
        classifier = Classifier(file, LABELS, {}, Preprocessing())
        declared = str(inside).lower() if told == "by the training" else "auto"
        mlmodel = {"metadata": {"enable_onnx_normalization": inside}} if told == "by the MLflow model" else {}
        how, source = expected_preprocessing(classifier, declared, mlmodel, scorer(classifier))
        assert how == Preprocessing(normalise=not inside), source
        assert classifier.preprocessing == Preprocessing(), "it is left as it was found"
        classifier.preprocessing = how
        answers.append(scorer(classifier)().probabilities)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)
    assert ((answers[0] > 0.5) == TRUTH).mean() > 0.9, "and a right one"


def test_the_wrong_input_gives_a_wrong_answer(exports: dict[bool, Path]) -> None:
    for inside, file in exports.items():
        right, wrong = (Classifier(file, LABELS, {}, Preprocessing(normalise=each)) for each in (not inside, inside))
        assert log_loss(scorer(right)()) < log_loss(scorer(wrong)()) / 2


def test_the_source_is_told_with_its_figures(exports: dict[bool, Path]) -> None:
    classifier = Classifier(exports[True], LABELS, {}, Preprocessing())
    _, source = expected_preprocessing(classifier, "auto", {"metadata": None}, scorer(classifier))
    assert source.startswith("by measurement: log loss ")


def test_the_crop_is_the_files_input_size(tmp_path: Path) -> None:
    import onnx

    file = write_bundle(tmp_path) / "model.onnx"
    model = onnx.load(str(file))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 288
    onnx.save(model, str(file))
    classifier = Classifier.load(tmp_path)
    how, _ = expected_preprocessing(classifier, "false", {}, lambda: pytest.fail("nothing is to be measured"))
    assert (how.crop, how.resize, how.normalise) == (288, 288, True)


def test_an_open_input_size_keeps_the_default(tmp_path: Path) -> None:
    import onnx

    file = write_bundle(tmp_path) / "model.onnx"
    model = onnx.load(str(file))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    onnx.save(model, str(file))
    how, _ = expected_preprocessing(Classifier.load(tmp_path), "true", {}, lambda: pytest.fail("not measured"))
    assert how == Preprocessing(normalise=False)


def test_another_word_is_refused(tmp_path: Path) -> None:
    classifier = Classifier.load(write_bundle(tmp_path))
    with pytest.raises(LabelLoopError, match="is 'yes'; it can be auto, true, false"):
        expected_preprocessing(classifier, "yes", {}, lambda: pytest.fail("not measured"))


def test_log_loss_is_bounded_for_one_sure_mistake() -> None:
    assert log_loss(scores([[1, 0]], [[0.5, 0.5]])) == pytest.approx(np.log(2))
    assert log_loss(scores([[1, 0]], [[0.0, 1.0]])) == pytest.approx(np.log(100))
