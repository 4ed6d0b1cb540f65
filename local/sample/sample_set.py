"""Write a sample set: images and `labels.jsonl`, the same for the same seed."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from local.sample.plan import PlannedImage, plan_images
from local.sample.scene import draw_scene


def make_sample_set(out: Path, count: int = 150, seed: int = 1) -> None:
    """Write `images/scene-NNNN.jpg` and `labels.jsonl` below `out`, replacing an earlier set.

    A line is `{"image": "images/scene-0001.jpg", "labels": ["cup", "key"], "split": "labelled" | "new"}`, labels
    sorted; about 70 in 100 images are "labelled", and every label is in both splits. `labels.jsonl` is written last.
    Raises ValueError when `count` is too small for that.
    """
    plan = plan_images(count, seed)
    images = out / "images"
    (out / "labels.jsonl").unlink(missing_ok=True)
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    # Fresh interpreters: forking a process that has threads (the demo's) can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(multiprocessing.cpu_count(), 8), mp_context=context) as pool:
        for _ in pool.map(_write_image, [images] * count, [seed] * count, plan, chunksize=8):
            pass
    lines = [
        json.dumps({"image": f"images/{_name(planned)}", "labels": planned.labels, "split": planned.split})
        for planned in plan
    ]
    temporary = out / "labels.jsonl.new"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(out / "labels.jsonl")


def _name(planned: PlannedImage) -> str:
    return f"scene-{planned.number:04d}.jpg"


def _write_image(folder: Path, seed: int, planned: PlannedImage) -> None:
    rng = np.random.default_rng([seed, planned.number])
    image = draw_scene(rng, planned.objects)
    image.save(folder / _name(planned), quality=int(rng.integers(60, 95)))
