"""From an image to probabilities: the same code in the function app and on the cluster."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ImageRejectedError, LabelLoopError
from shared.images import load_rgb

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

MODEL_FILE, LABELS_FILE, CARD_FILE = "model.onnx", "labels.json", "card.json"
BATCH_SIZE = 16
MAX_RESIZED = 4096


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; the defaults are AutoML's validation transform for classification:
    shorter side to `resize` px (bilinear), centre crop of `crop` px, scaled to 0..1, normalised by channel
    (https://learn.microsoft.com/azure/machine-learning/how-to-inference-onnx-automl-image-models).
    `normalise` is False when the ONNX file does the scaling and normalising by itself and takes 0..255
    (`enable_onnx_normalization`; azureml-automl-dnn-vision's `ModelNormalizerWrapper`).
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    normalise: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        fields = dict(values)
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Prediction:
    """One image's outcome: `probabilities` in the model's label order, 0..1; empty when there is an `error`."""

    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""


def preprocess(image: PillowImage, how: Preprocessing) -> NDArray[np.float32]:
    """An RGB image as the model's input, float32 of shape (3, crop, crop)."""
    import numpy as np
    from PIL import Image as Pillow

    width, height = image.size
    scale = how.resize / min(width, height)
    # torchvision's Resize truncates the longer side; the shorter one is exact.
    size = (how.resize, int(height * scale)) if width <= height else (int(width * scale), how.resize)
    left, top = round((size[0] - how.crop) / 2), round((size[1] - how.crop) / 2)
    if max(size) <= MAX_RESIZED:
        resized = image.resize(size, Pillow.Resampling.BILINEAR)
        cropped = resized.crop((left, top, left + how.crop, top + how.crop))
    else:
        # A very long, narrow image: resizing all of it would take gigabytes for what the crop throws away.
        x, y = width / size[0], height / size[1]
        box = (left * x, top * y, (left + how.crop) * x, (top + how.crop) * y)
        cropped = image.resize((how.crop, how.crop), Pillow.Resampling.BILINEAR, box=box)
    pixels = np.asarray(cropped, dtype=np.float32).transpose(2, 0, 1)
    if how.normalise:
        pixels = pixels / np.float32(255)
        pixels -= np.asarray(how.mean, np.float32).reshape(3, 1, 1)
        pixels /= np.asarray(how.std, np.float32).reshape(3, 1, 1)
    return np.ascontiguousarray(pixels)


class Classifier:
    """A model bundle in memory: `model.onnx`, `labels.json`, `card.json` of one folder. Threads may share it."""

    def __init__(
        self, model: Path, labels: Sequence[str], thresholds: Mapping[str, float], preprocessing: Preprocessing
    ) -> None:
        import onnxruntime as ort

        self.labels = tuple(labels)
        self.thresholds = tuple(float(thresholds.get(label, 0.5)) for label in labels)
        self.preprocessing = preprocessing
        options = ort.SessionOptions()
        options.log_severity_level = 3
        preferred = ("CUDAExecutionProvider", "CPUExecutionProvider")
        available = ort.get_available_providers()
        providers = [provider for provider in preferred if provider in available]
        if preferred[0] in available:
            # The CUDA and cuDNN libraries that pip installs beside onnxruntime-gpu are not on the loader's path.
            ort.preload_dlls()
        self._session = ort.InferenceSession(str(model), options, providers=providers)
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        outputs = self._session.get_outputs()[0].shape[-1]
        if isinstance(outputs, int) and outputs != len(self.labels):
            raise LabelLoopError(f"{model}: has {outputs} outputs, but {LABELS_FILE} has {len(self.labels)} labels")

    @classmethod
    def load(cls, bundle: Path) -> Classifier:
        """Read a bundle. Raises LabelLoopError when a file is missing or they do not fit together."""
        try:
            labels = json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8"))
            card = json.loads((bundle / CARD_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabelLoopError(f"model bundle {bundle}: {error.filename} is missing") from None
        return cls(bundle / MODEL_FILE, labels, card["thresholds"], Preprocessing.from_json(card["preprocessing"]))

    @property
    def input_size(self) -> int | None:
        """Height and width of the model's input, px; None when the file leaves it open."""
        height, width = self._session.get_inputs()[0].shape[-2:]
        return int(height) if isinstance(height, int) and height == width else None

    @property
    def providers(self) -> tuple[str, ...]:
        """What the network runs on, in onnxruntime's words; the CPU alone when a GPU could not be used."""
        return tuple(self._session.get_providers())

    def probabilities(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities 0..1 of shape (n, labels) for inputs of shape (n, 3, crop, crop)."""
        import numpy as np

        logits: NDArray[np.float32] = self._session.run([self._output], {self._input: inputs})[0]
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)

    def predict(self, images: Iterable[bytes | ImageRejectedError]) -> Iterator[Prediction]:
        """A prediction for each encoded image, in order. An image that can't be decoded fails itself alone.

        Decoding runs ahead in threads while the network works on the batch before.
        """
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
            prepared = _ahead(pool, self._prepared, images, ahead=2 * BATCH_SIZE)
            batch: list[NDArray[np.float32] | ImageRejectedError] = []
            for each in prepared:
                batch.append(each)
                if len(batch) == BATCH_SIZE:
                    yield from self._predict_batch(batch)
                    batch = []
            yield from self._predict_batch(batch)

    def _prepared(self, content: bytes | ImageRejectedError) -> NDArray[np.float32] | ImageRejectedError:
        if isinstance(content, ImageRejectedError):
            return content
        try:
            return preprocess(load_rgb(content), self.preprocessing)
        except ImageRejectedError as rejection:
            return rejection

    def _predict_batch(self, batch: Sequence[NDArray[np.float32] | ImageRejectedError]) -> Iterator[Prediction]:
        import numpy as np

        good = [each for each in batch if not isinstance(each, ImageRejectedError)]
        rows = iter(self.probabilities(np.stack(good)).tolist() if good else [])
        for each in batch:
            if isinstance(each, ImageRejectedError):
                yield Prediction(error=str(each))
            else:
                yield self._prediction(tuple(next(rows)))

    def _prediction(self, probabilities: tuple[float, ...]) -> Prediction:
        decided = zip(self.labels, probabilities, self.thresholds, strict=True)
        return Prediction(tuple(label for label, value, threshold in decided if value >= threshold), probabilities)


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    """`map` over a pool, in order, with at most `ahead` results in memory."""
    pending: deque[Any] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
