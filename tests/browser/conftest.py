"""One browser; each test's windows must have been without faults at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.window import SECONDS, Window, running_chromium
from tests.contract.local_stack import ignore_sdk_warnings

OpenWindow = Callable[..., Window]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_sdk_warnings(items, Path(__file__).parent)


# Playwright's loop runs in this thread as long as the browser does; no other module's tests may meet it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=SECONDS * 1000)
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def open_window(browser: Browser, environment: dict[str, str]) -> Iterator[OpenWindow]:
    """Opens windows on the stack of the module, by default with a key that opens all."""
    opened: list[Window] = []

    def open_one(key: str | None = None, **options: Any) -> Window:
        given = environment["FUNCTIONS_OPERATE_KEY"] if key is None else key
        opened.append(Window(browser, environment["FUNCTIONS_URL"], given, **options))
        return opened[-1]

    yield open_one
    for window in opened:
        window.close()
    assert [fault for window in opened for fault in window.faults] == []


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    return open_window()
