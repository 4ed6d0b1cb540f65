"""What light, lens and sensor do to the scene."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from local.sample.background import clouds
from local.sample.canvas import Plane


def lighting(rng: np.random.Generator, scene: Plane, light: tuple[float, float]) -> Plane:
    """Brighter towards the light, tinted, sometimes with the soft shadow of something outside the picture."""
    height, width = scene.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    toward = (columns / width - 0.5) * light[0] + (rows / height - 0.5) * light[1]
    brightness = rng.uniform(0.85, 1.1) + rng.uniform(0.1, 0.6) * toward
    if rng.random() < 0.35:
        brightness *= 1 - rng.uniform(0.2, 0.5) * (clouds(rng, width, height, 3) > 0.25)
        brightness = _blurred(brightness, rng.uniform(3, 14))
    if rng.random() < 0.5:
        corner = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2) * 2
        brightness = brightness * (1 - rng.uniform(0, 0.4) * corner)
    tint = 1 + rng.normal(0, 0.05, 3).astype(np.float32)
    return np.asarray(np.clip(scene * brightness.astype(np.float32)[..., None] * tint, 0, 1), np.float32)


def camera(rng: np.random.Generator, scene: Plane) -> Image.Image:
    """Exposure, contrast, blur or shake, and noise → an 8-bit RGB image."""
    # As a camera's automatic exposure does, roughly: dark scenes are lifted, glaring ones lowered.
    gain = np.clip(rng.uniform(0.42, 0.58) / max(float(scene.mean()), 0.01), 0.85, 2.5)
    levels = np.clip(np.linspace(0, 1, 256) * gain, 0, 1)
    levels = np.clip((levels - 0.5) * rng.uniform(0.85, 1.15) + 0.5, 0, 1) ** rng.uniform(0.85, 1.2) * 255
    image = Image.fromarray((scene * 255).astype(np.uint8)).point(levels.astype(np.uint8).tolist() * 3)
    draw = rng.random()
    if draw < 0.45:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    elif draw < 0.55:
        image = _shaken(image, rng)
    height, width = scene.shape[:2]
    fine = rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(1, 8))
    # Colour noise is coarser than brightness noise, as cameras and JPEG leave it.
    coarse = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), np.float32) * np.float32(rng.uniform(0.5, 5))
    pixels = np.asarray(image).astype(np.int16) + fine.astype(np.int16)
    pixels += coarse.astype(np.int16).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _shaken(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The mean of the picture along a short stroke."""
    pixels = np.asarray(image, np.float32)
    right, down = rng.integers(-2, 3, 2)
    steps = [np.roll(pixels, (int(down * step), int(right * step)), (0, 1)) for step in range(3)]
    return Image.fromarray(np.mean(steps, axis=0).astype(np.uint8))


def _blurred(plane: Plane, pixels: float) -> Plane:
    image = Image.fromarray(np.clip(plane * 128, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(pixels)), np.float32) * np.float32(1 / 128)
