"""Small images in every format that is taken, and in every kind of each, as files' bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

WIDTH, HEIGHT = 96, 64
ROTATED = 6


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """All colours, softly; not the same upside down, mirrored or turned."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / width, 255 * y / height
    blue = 128 + 120 * np.sin(x / 15) * np.cos(y / 20)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """An image as a file's bytes."""
    if file_format == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    buffer = io.BytesIO()
    # A copy: Pillow leaves the settings of one format in the image.
    image.copy().save(buffer, file_format, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    """EXIF data that say: turn it by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    exif[0x010E] = "a secret place"
    return exif.tobytes()


def see_through() -> Image.Image:
    """A picture that fades from opaque to transparent, from the left to the right."""
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def grey16() -> Image.Image:
    """Grey of 16 bits, from black to white."""
    levels = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    return Image.fromarray(levels.astype(np.uint16))


def animated(count: int = 4) -> dict[str, Any]:
    """Options that make `picture` the first frame of several."""
    return {"save_all": True, "append_images": [picture().rotate(90 * number) for number in range(1, count)]}


@functools.cache
def samples() -> Mapping[str, bytes]:
    """All samples, by names that begin with Pillow's name of the format."""
    rgb, grey, palette, alpha = picture(), picture().convert("L"), picture().quantize(128), see_through()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngInfo()
    text.add_text("Comment", "words " * 100, zip=True)
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG rgb", rgb, {"icc_profile": srgb}),
        ("JPEG grey", grey, {}),
        ("JPEG cmyk", rgb.convert("CMYK"), {}),
        ("JPEG progressive", rgb, {"progressive": True}),
        ("JPEG restarts", rgb, {"restart_marker_rows": 1, "subsampling": 2}),
        ("JPEG turned", rgb, {"exif": rotated(), "comment": b"a comment"}),
        ("MPO", rgb, animated()),
        ("PNG rgb", rgb, {"icc_profile": srgb, "pnginfo": text}),
        ("PNG alpha", alpha, {}),
        ("PNG palette", palette, {}),
        ("PNG transparent", palette, {"transparency": 1}),
        ("PNG colour key", rgb, {"transparency": (0, 0, 0)}),
        ("PNG grey16", grey16(), {}),
        ("PNG 1 bit", grey.convert("1"), {}),
        ("PNG animated", rgb, animated()),
        ("WEBP lossy", rgb, {"exif": rotated()}),
        ("WEBP lossless", rgb, {"lossless": True}),
        ("WEBP alpha", alpha, {}),
        ("WEBP animated", rgb, animated()),
        ("BMP rgb", rgb, {}),
        ("BMP palette", palette, {}),
        ("BMP 1 bit", grey.convert("1"), {}),
        ("GIF", palette, {}),
        ("GIF transparent", palette, {"transparency": 1}),
        ("GIF animated", rgb, animated()),
        ("TIFF raw", rgb, {}),
        ("TIFF lzw", rgb, {"compression": "tiff_lzw"}),
        ("TIFF deflate", rgb, {"compression": "tiff_adobe_deflate"}),
        ("TIFF packbits", rgb, {"compression": "packbits"}),
        ("TIFF jpeg", rgb, {"compression": "jpeg"}),
        ("TIFF fax", grey.convert("1"), {"compression": "group4"}),
        ("TIFF grey16", grey16(), {"compression": "tiff_lzw"}),
        ("TIFF float", Image.fromarray(np.asarray(grey, np.float32)), {}),
        ("TIFF cmyk", rgb.convert("CMYK"), {"compression": "tiff_lzw"}),
        ("TIFF lab", rgb.convert("LAB"), {}),
        ("TIFF alpha", alpha, {}),
        ("TIFF big", rgb, {"big_tiff": True}),
        ("TIFF pages", rgb, animated()),
        ("JPEG2000 rgb", rgb, {}),
        ("JPEG2000 stream", rgb, {"no_jp2": True, "num_resolutions": 3, "tile_size": (32, 32)}),
        ("JPEG2000 alpha", alpha, {}),
        ("JPEG2000 grey16", grey16(), {}),
        ("AVIF rgb", rgb, {"speed": 10, "exif": rotated()}),
        ("AVIF alpha", alpha, {"speed": 10}),
        ("AVIF animated", rgb, {**animated(), "speed": 10}),
        ("HEIF rgb", rgb, {"exif": rotated()}),
        ("HEIF grey", grey, {}),
        ("HEIF alpha", alpha, {}),
        ("HEIF several", rgb, animated()),
    ]
    return {name: encoded(image, name.partition(" ")[0], **options) for name, image, options in kinds}
