"""Images → pooled features of the frozen backbone; fetching and decoding run ahead of the network."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local.automl.dataset import Example
from local.automl.errors import ImageError, TrainingError
from local.automl.preprocessing import UnreadableImageError, decode, to_planes
from local.automl.storage import Fetch

BATCH = 16
FETCHERS = 6
# Decoded images waiting for the network take 150 kB each; the bound keeps memory flat for any number of images.
AHEAD = 4 * BATCH


def open_session(model: bytes) -> Any:
    """An ONNX Runtime session on this process's cores that leaves them free between runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    # A spinning thread would take its core from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def extract(
    examples: Sequence[Example],
    fetch: Fetch,
    session: Any,
    *,
    deadline: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """Features of the images, (N, 1280) float32, in the examples' order.

    `session` takes 0..255 planes; `deadline` is a time.monotonic() value; `progress` is told how many images are done.
    Raises ImageError for the first image that cannot be fetched or read, TrainingError past the deadline.
    """

    def load(example: Example) -> NDArray[np.uint8]:
        try:
            return decode(fetch(example))
        except UnreadableImageError as error:
            raise ImageError(f"the image {example.url} cannot be read: {error}") from error

    name = session.get_inputs()[0].name
    parts: list[NDArray[np.float32]] = []
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    upcoming = iter(examples)
    done = 0
    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch") as pool:
        try:
            while done < len(examples):
                while len(waiting) < AHEAD and (example := next(upcoming, None)) is not None:
                    waiting.append(pool.submit(load, example))
                images = [waiting.popleft().result() for _ in range(min(BATCH, len(waiting)))]
                if deadline is not None and time.monotonic() > deadline:
                    raise TrainingError(f"the run's time is over after {done} of {len(examples)} images")
                parts.append(session.run(None, {name: to_planes(np.stack(images))})[0])
                done += len(images)
                progress(done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return np.concatenate(parts) if parts else np.empty((0, session.get_outputs()[0].shape[1]), np.float32)
