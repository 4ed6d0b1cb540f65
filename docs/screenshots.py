"""`python -m docs.screenshots`: pictures of the page for the README, of the demo's loop on a stack of its own.

They show what is really there: sample images, a training, predictions. Needs Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from local.demo.client import Client
from local.demo.data import read_data
from local.demo.run import Clock, Demo
from local.sample import make_sample_set
from local.stack import Stack

FOLDER = Path(__file__).resolve().parent / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
# Name, view, size, colours.
SHOTS: tuple[tuple[str, str, Any, Any], ...] = (
    ("overview", "overview", WIDE, "light"),
    ("images", "images", WIDE, "light"),
    ("review", "review", WIDE, "light"),
    ("model", "models/1", WIDE, "light"),
    ("overview-phone", "overview", NARROW, "dark"),
)
COLOURS, MAX_BYTES = 128, 150_000


def take_all(browser: Browser, url: str, key: str) -> None:
    """Write all pictures."""
    for name, view, size, scheme in SHOTS:
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        context.add_init_script(f"sessionStorage.setItem('labelloop-key', '{key}')")
        page = context.new_page()
        page.goto(f"{url}/api/dashboard#/{view}")
        page.locator(".view:not([aria-busy]) h1").wait_for()
        # The pictures in sight have come.
        page.wait_for_load_state("networkidle")
        page.evaluate("() => document.activeElement.blur()")
        write(FOLDER / f"{name}.png", page.screenshot())
        context.close()


def write(path: Path, screenshot: bytes) -> None:
    """Write a screenshot as a small PNG of few colours."""
    with Image.open(io.BytesIO(screenshot)) as image:
        few = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path.name} has {path.stat().st_size} bytes, more than {MAX_BYTES}: make it smaller")
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def main() -> int:
    executable = shutil.which("chromium")
    if executable is None:
        print("screenshots: Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        sample, state = Path(temporary) / "sample", Path(temporary) / "state"
        make_sample_set(sample)
        with Stack(state) as stack, sync_playwright() as playwright:
            environment = stack.environment()
            Demo(Client(environment), read_data(sample), Clock(), state).run()
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            take_all(browser, environment["FUNCTIONS_URL"], environment["FUNCTIONS_READ_KEY"])
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
