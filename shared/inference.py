"""From encoded images to predictions: the same code in the function app and on the cluster."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.ahead import Budget, chunks, map_ahead
from shared.errors import ImageRejectedError, ImageUnavailableError, LabelLoopError
from shared.preprocessing import Preprocessing, decode, to_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_FILE, LABELS_FILE, CARD_FILE = "model.onnx", "labels.json", "card.json"
BATCH_SIZE = 16
# Most of the readers wait for storage; only as many decode at a time as there are cores.
READERS = 8
# A result ahead takes 150 kB. Two batches and what the readers hold keep all of them busy while a batch is run.
AHEAD = 2 * BATCH_SIZE + READERS
# Of decoded images, 4 bytes each; a larger image is decoded alone.
MAX_DECODED_PIXELS = 100_000_000
FIRST_CHOICE, SECOND_CHOICE = "CUDAExecutionProvider", "CPUExecutionProvider"

logger = logging.getLogger(__name__)

# Opens an encoded image for as long as it is decoded, in one of several threads. Raises ImageRejectedError when it
# can't be had, ImageUnavailableError when it can't be had now.
Source = Callable[[], AbstractContextManager[bytes]]
_Unusable = ImageRejectedError | ImageUnavailableError


@dataclass(frozen=True)
class Prediction:
    """One image's outcome: `probabilities` in the model's label order, 0..1; empty when there is an `error`.

    `retry`: the error is not the image's; another time it may be read.
    """

    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""
    retry: bool = False


class Classifier:
    """A model bundle in memory: `model.onnx`, `labels.json`, `card.json` of one folder. Threads may share it.

    On a CPU, `throughput` runs several batches at a time, each on a core of its own, rather than one on all cores:
    more images a second, and a later answer for a single one.
    """

    def __init__(
        self,
        model: Path,
        labels: Sequence[str],
        thresholds: Mapping[str, float],
        preprocessing: Preprocessing,
        *,
        throughput: bool = False,
    ) -> None:
        import onnxruntime as ort

        self.labels = tuple(labels)
        self.thresholds = tuple(float(thresholds.get(label, 0.5)) for label in labels)
        self.preprocessing = preprocessing
        self._cores = _cores()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1 if throughput else self._cores
        # A thread that spins while it waits would take its core from the decoders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = ort.get_available_providers()
        providers = [provider for provider in (FIRST_CHOICE, SECOND_CHOICE) if provider in available]
        if FIRST_CHOICE in available:
            # The CUDA and cuDNN libraries that pip installs beside onnxruntime-gpu are not on the loader's path.
            ort.preload_dlls()
        self._session = ort.InferenceSession(str(model), options, providers=providers)
        self._runs = self._cores if throughput and self.providers[0] == SECOND_CHOICE else 1
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        batch = self._session.get_inputs()[0].shape[0]
        self._fixed_batch = batch if isinstance(batch, int) else None
        outputs = self._session.get_outputs()[0].shape[-1]
        if isinstance(outputs, int) and outputs != len(self.labels):
            raise LabelLoopError(f"{model}: has {outputs} outputs, but {LABELS_FILE} has {len(self.labels)} labels")
        self._decoding = threading.BoundedSemaphore(self._cores)
        self._pixels = Budget(MAX_DECODED_PIXELS)
        self._buffers = threading.local()

    @classmethod
    def load(cls, bundle: Path, *, throughput: bool = False) -> Classifier:
        """Read a bundle. Raises LabelLoopError when a file is missing or they do not fit together."""
        try:
            labels = json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8"))
            card = json.loads((bundle / CARD_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabelLoopError(f"model bundle {bundle}: {error.filename} is missing") from None
        preprocessing = Preprocessing.from_json(card["preprocessing"])
        return cls(bundle / MODEL_FILE, labels, card["thresholds"], preprocessing, throughput=throughput)

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
        # The sigmoid, without an exponential that could overflow.
        return (0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))).astype(np.float32)

    def predict(self, images: Iterable[bytes | ImageRejectedError | Source]) -> Iterator[Prediction]:
        """A prediction for each image, in order. An image that can't be read, decoded or run fails itself alone.

        Reading, decoding and the network overlap. `images` is iterated in the caller's thread; sources are opened ahead
        in others, and each is closed as soon as it is decoded. Raises what a source raises unexpectedly, and what the
        network raises when it fails on any image.
        """
        readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        runners = ThreadPoolExecutor(self._runs, thread_name_prefix="run")
        try:
            prepared = map_ahead(readers, self._prepared, images, AHEAD)
            batches = chunks(prepared, self._fixed_batch or BATCH_SIZE)
            for predictions in map_ahead(runners, self._predict_batch, batches, self._runs + 1):
                yield from predictions
        finally:
            for pool in (readers, runners):
                pool.shutdown(cancel_futures=True)

    def _prepared(self, image: bytes | ImageRejectedError | Source) -> NDArray[np.uint8] | _Unusable:
        if isinstance(image, ImageRejectedError):
            return image
        try:
            if isinstance(image, bytes):
                return decode(image, self.preprocessing, self._room)
            with image() as content:
                return decode(content, self.preprocessing, self._room)
        except (ImageRejectedError, ImageUnavailableError) as unusable:
            return unusable

    @contextmanager
    def _room(self, pixels: int) -> Iterator[None]:
        with self._decoding, self._pixels.held(pixels):
            yield

    def _predict_batch(self, batch: Sequence[NDArray[np.uint8] | _Unusable]) -> list[Prediction]:
        good = [each for each in batch if not isinstance(each, _Unusable)]
        rows = iter(self._run(self._inputs(good)) if good else ())
        return [self._prediction(each if isinstance(each, _Unusable) else next(rows)) for each in batch]

    def _inputs(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The images as a batch in this thread's buffer."""
        import numpy as np

        count, crop = len(images), self.preprocessing.crop
        buffer: NDArray[np.float32] | None = getattr(self._buffers, "inputs", None)
        if buffer is None or len(buffer) < count or buffer.shape[-1] != crop:
            buffer = self._buffers.inputs = np.empty((count, 3, crop, crop), np.float32)
        for image, out in zip(images, buffer, strict=False):
            to_input(image, self.preprocessing, out)
        return buffer[:count]

    def _run(self, inputs: NDArray[np.float32]) -> list[list[float] | ImageRejectedError]:
        """What the network says of each input. A batch that fails is halved, until it fits or the culprit is found."""
        try:
            return [*self._filled(inputs).tolist()]
        # onnxruntime's exceptions have no base of their own.
        except Exception as error:
            if len(inputs) == 1:
                return [self._verdict(inputs, error)]
            logger.warning("the model failed on a batch of %d; it is tried by halves: %s", len(inputs), error)
        middle = len(inputs) // 2
        return [*self._run(inputs[:middle]), *self._run(inputs[middle:])]

    def _filled(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities of a batch, which is filled with black images for a model of a fixed batch size."""
        import numpy as np

        if self._fixed_batch in {None, len(inputs)}:
            return self.probabilities(inputs)
        filled = np.zeros((self._fixed_batch, *inputs.shape[1:]), np.float32)
        filled[: len(inputs)] = inputs
        return self.probabilities(filled)[: len(inputs)]

    def _verdict(self, inputs: NDArray[np.float32], error: Exception) -> ImageRejectedError:
        """The image's fault, when the network can run another; else `error` is raised: it is the node's or the model's,
        and the next try may be on another node.
        """
        import numpy as np

        try:
            self._filled(np.zeros_like(inputs))
        except Exception:
            raise error from None
        return ImageRejectedError(f"the model fails on this image: {error}")

    def _prediction(self, row: list[float] | _Unusable) -> Prediction:
        if isinstance(row, _Unusable):
            return Prediction(error=str(row), retry=isinstance(row, ImageUnavailableError))
        if any(map(math.isnan, row)):
            return Prediction(error="the model gave no number as this image's probability")
        decided = zip(self.labels, row, self.thresholds, strict=True)
        return Prediction(tuple(label for label, value, threshold in decided if value >= threshold), tuple(row))


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
