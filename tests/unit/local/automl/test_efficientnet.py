"""The backbone's graph: that it is the published network, and that its files keep AutoML's contract."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from local.automl import efficientnet
from local.automl.efficientnet import LinearLayer, build_model
from local.automl.features import open_session
from local.sample.canvas import Canvas
from local.sample.geometry import Placement
from local.sample.objects import KINDS

# ImageNet's class numbers.
CLASSES = {"banana": {954}, "clock": {409, 892}, "cup": {504, 968}, "umbrella": {879}}


@functools.cache
def features_session() -> Any:
    return open_session(build_model(None, normalize_inside=True).SerializeToString())


def pattern() -> NDArray[np.float32]:
    """A fixed image, (1, 3, 224, 224), 0..255."""
    rows, columns = np.mgrid[0:224, 0:224]
    waves = np.stack([rows / 9 + columns / 17, rows / 23 - columns / 5, (rows + columns) / 31])
    image: NDArray[np.float32] = (127 + 100 * np.sin(waves)).astype(np.float32)[None]
    return image


def normalized(image: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
    deviation = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
    return np.asarray((image / 255 - mean) / deviation, np.float32)


def test_the_weights_are_the_published_network() -> None:
    assert efficientnet.parameter_count(efficientnet.load_weights()) == 4_652_008


def test_the_graph_has_the_networks_layers() -> None:
    model = build_model(None, normalize_inside=False)
    onnx.checker.check_model(model)
    operators = [node.op_type for node in model.graph.node]
    # Stem, head, one block without expansion (2) and fifteen with (3 each); a rectifier after all but the projections.
    assert operators.count("Conv") == 2 + 2 + 15 * 3
    assert operators.count("Clip") == 49 - 16
    assert operators.count("Add") == 9 + 1
    assert model.opset_import[0].version == 13


def test_features_of_a_fixed_image_stay_what_they_were() -> None:
    (features,) = features_session().run(None, {"input1": pattern()})
    assert features.shape == (1, 1280)
    assert features.mean() == pytest.approx(0.20435, abs=1e-4)
    assert features.std() == pytest.approx(0.63787, abs=1e-4)
    assert features[0, [0, 100]].tolist() == pytest.approx([0.0, 2.95927], abs=1e-3)


@pytest.mark.parametrize("label", CLASSES)
def test_the_network_recognises_drawn_objects(label: str) -> None:
    classifier = open_session(
        build_model(efficientnet.imagenet_classifier(), normalize_inside=True).SerializeToString()
    )
    canvas = Canvas(224, Placement(0, 95, 1, 0, (112, 112)), (-0.7, -0.7))
    KINDS[label].paint(canvas, np.random.default_rng(0))
    picture = canvas.rgb * canvas.alpha[..., None] + 0.85 * (1 - canvas.alpha[..., None])
    (scores,) = classifier.run(None, {"input1": (picture * 255).astype(np.float32).transpose(2, 0, 1)[None]})
    assert int(scores.argmax()) in CLASSES[label]


def head() -> LinearLayer:
    rng = np.random.default_rng(5)
    return LinearLayer(rng.normal(size=(1280, 3)).astype(np.float32), np.array([0.5, -1, 2], np.float32))


def test_the_exported_file_keeps_automls_contract() -> None:
    session = open_session(build_model(head(), normalize_inside=False).SerializeToString())
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("input1", "tensor(float)", [3, 224, 224])
    assert (output.name, output.type, output.shape[1:]) == ("output1", "tensor(float)", [3])
    batch = normalized(np.repeat(pattern(), 3, axis=0))
    assert session.run(None, {"input1": batch})[0].shape == (3, 3)
    assert session.run(None, {"input1": batch[:1]})[0].shape == (1, 3)


@pytest.mark.parametrize("inside", [False, True])
def test_outputs_are_the_logits_of_the_head(inside: bool) -> None:
    session = open_session(build_model(head(), normalize_inside=inside).SerializeToString())
    (features,) = features_session().run(None, {"input1": pattern()})
    image = pattern() if inside else normalized(pattern())
    (logits,) = session.run(None, {"input1": image})
    np.testing.assert_allclose(logits, features @ head().weights + head().bias, atol=2e-3)
