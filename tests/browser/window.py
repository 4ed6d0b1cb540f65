"""Debian's Chromium on the page, driven by Playwright; what the page must never do is noted as a fault wherever it
happens.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, sync_playwright

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# So long is waited for what must come; the machine may be busy.
SECONDS = 90
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MAX_TABS = 200
# Other lists than these would be asked for more often the more there is.
API = re.compile(r"/api/(?!dashboard|thumbnails)")

# The last answer that the view is made of, and when all of it had been painted and the page was free again.
INTERACTIVE = """view => {
  const shown = performance.getEntriesByName(`shown:${view}`).at(-1)?.startTime;
  if (shown === undefined) return null;
  const answered = performance.getEntriesByType("resource")
    .filter(each => /\\/api\\/(?!dashboard|thumbnails)/.test(each.name) && each.responseEnd <= shown)
    .map(each => each.responseEnd);
  return shown - Math.max(...answered);
}"""
# What has the focus: its number among what can have it, and whether that is to be seen.
FOCUS = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  return {
    number: [...document.querySelectorAll("*")].indexOf(element),
    text: element.outerHTML.slice(0, 120),
    isBody: element === document.body,
    isVisible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
}"""
# What a mouse could use.
USABLE = """() => {
  const all = [...document.querySelectorAll("*")];
  return all.flatMap((element, number) => element.matches("a[href], button, input, select, [tabindex='0']")
    && !element.disabled && element.checkVisibility() ? [[number, element.outerHTML.slice(0, 120)]] : []);
}"""


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """The browser. Fails in words where it, or axe-core, is missing."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("the page is tested in Chromium, which is not installed: apt-get install chromium", pytrace=False)
    if not AXE.is_file():
        pytest.fail("the page is tested with axe-core, which is not installed: npm ci", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


class Window:
    """A tab in a session of its own. With a `key` it is as if that had been entered."""

    def __init__(self, browser: Browser, url: str, key: str = "", **options: Any) -> None:
        self.url = url
        self._key = key
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.may_be_refused = not key
        self._context: BrowserContext = browser.new_context(**{"viewport": WIDE, **options})
        self._context.set_default_timeout(SECONDS * 1000)
        self._context.add_init_script(path=AXE)
        if key:
            self._context.add_init_script(f"sessionStorage.setItem('labelloop-key', {json.dumps(key)})")
        self.page: Page = self._context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"an error that nobody caught: {error}"))
        self.page.on("request", self._requested)

    def close(self) -> None:
        self._context.close()

    # Looking at views

    def address(self, view: str) -> str:
        return f"{self.url}/api/dashboard#/{view}"

    def show(self, view: str) -> Page:
        """Go to a view, anew, and wait until all of it is there."""
        self.requests.clear()
        if self.page.url == self.address(view):
            self.page.reload()
        else:
            self.page.goto(self.address(view))
            # Within the page a new address is an event, which comes a moment later.
            self.page.evaluate("() => new Promise(resolve => setTimeout(resolve))")
        self.await_view(view)
        return self.page

    def station(self, name: str) -> Locator:
        """A station of the loop, on the overview."""
        heading = self.page.get_by_role("heading", name=name, exact=True)
        return self.page.get_by_role("listitem").filter(has=heading)

    def await_view(self, view: str) -> None:
        name = re.split("[/?]", view)[0]
        self.page.locator(f'.view[data-view="{name}"]:not([aria-busy]) h1').wait_for()

    @property
    def asked(self) -> list[str]:
        """What the view asked the API for, pictures left out."""
        return [each for each in self.requests if API.search(each)]

    @property
    def pictures(self) -> list[str]:
        return [each for each in self.requests if "/api/thumbnails/" in each]

    def milliseconds_until_interactive(self, view: str) -> float:
        """From the end of the last answer until the view was painted."""
        name = re.split("[/?]", view)[0]
        deadline = time.monotonic() + SECONDS
        while (found := self.page.evaluate(INTERACTIVE, name)) is None:
            assert time.monotonic() < deadline, f"{view} was never marked as shown"
        return float(found)

    def violations(self) -> list[str]:
        """What axe-core finds, in words."""
        found: dict[str, Any] = self.page.evaluate("() => axe.run({ resultTypes: ['violations'], preload: false })")
        return [
            f"{rule['id']}: {node['target']}: {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    # The keyboard

    def tab_to(self, wanted: Locator) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(MAX_TABS):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"{MAX_TABS} times Tab do not lead to {wanted}")

    def unreachable(self) -> list[str]:
        """What can be used with a mouse, but not be reached with Tab, or does not show that it has the focus."""
        usable = dict(self.page.evaluate(USABLE))
        self.page.evaluate("() => document.activeElement.blur()")
        faults = []
        # A date has several stops.
        for _ in range(2 * len(usable) + 20):
            if not usable:
                break
            self.page.keyboard.press("Tab")
            focus = self.page.evaluate(FOCUS)
            if focus["isBody"]:
                continue
            usable.pop(focus["number"], None)
            if not focus["isVisible"]:
                faults.append(f"the focus is not to be seen on {focus['text']}")
        return [*faults, *(f"never reached: {text}" for text in usable.values())]

    # What must never be

    def _console(self, message: ConsoleMessage) -> None:
        is_refusal = "status of 401" in message.text
        if message.type in {"error", "warning"} and not (is_refusal and self.may_be_refused):
            self.faults.append(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.url}/api/", f"blob:{self.url}/")):
            self.faults.append(f"a request to {request.url}")
        if self._key and self._key in request.url:
            self.faults.append(f"the key is in {request.url}")
