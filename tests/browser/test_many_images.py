"""The page on a ledger of 100,000 images: it asks for no more than on an empty one, and draws what it gets at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient
from playwright.sync_api import expect

from local.demo.client import Client, wait_for
from local.stack import Stack
from tests.browser.history import BATCHES_BEFORE, IMAGES, PICTURES, WAITING, Row, add_rows, write_history
from tests.browser.window import Window
from tests.contract.local_stack import NEVER, Cloud, app_clients
from tests.e2e.support import provision
from tests.support import close_clients, promote_bundle

pytestmark = pytest.mark.e2e

# It was 157 ms at most; the machine may be busy.
MAX_MILLISECONDS = 1000
START_SECONDS = 180
# What each view asks for at most, pictures left out, and how many pictures.
VIEWS = {
    "overview": (1, 0),
    "images": (1, 60),
    "images?state=waiting": (1, 60),
    "images/today%2FIMG_0007.jpg": (1, 1),
    "review": (1, 1),
    "models": (1, 0),
    "runs": (3, 0),
    "predictions": (1, 0),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A stack with a history, which does nothing by itself."""
    folder = tmp_path_factory.mktemp("many")
    state = folder / "state"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BATCH_INTERVAL", "SWEEP_INTERVAL"):
            patch.setenv(name, NEVER)
        with Stack(state, say=lambda _: None) as stack:
            for name, value in stack.config.identity_environment().items():
                patch.setenv(name, value)
            rows = list(_history(stack, folder))
        assert len(rows) > 2 * IMAGES
        add_rows(state / "azurite", rows)
        del rows
        with Stack(state, say=lambda _: None) as stack:
            client = Client(stack.environment())
            # Azurite reads its file first.
            wait_for("storage", lambda: client.request("GET", "/api/summary").status == 200, seconds=START_SECONDS)
            yield stack.environment()


def _history(stack: Stack, folder: Path) -> Iterator[Row]:
    provision(Client(stack.environment()))
    clients = app_clients(Cloud(stack))
    champion = promote_bundle(clients, folder)
    config = stack.config
    credential = AzureNamedKeyCredential(config.account_name, config.account_key)
    # Azurite itself, so that nothing is told of the uploads.
    account = f"https://127.0.0.1:{config.ports['azurite_blob']}/{config.account_name}"
    container = clients.settings.images_container
    with ContainerClient(account, container, credential, connection_verify=str(config.certificate)) as pictures:
        yield from write_history(clients, champion, pictures, dt.datetime.now(dt.UTC).replace(microsecond=0))
    close_clients()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_asks_for_little_and_is_there_at_once(view: str, window: Window) -> None:
    window.show(view)
    milliseconds = window.milliseconds_until_interactive(view)
    asked, pictures = VIEWS[view]
    print(f"{view}: {len(window.asked)} requests, {len(window.pictures)} pictures, {milliseconds:.0f} ms")
    assert len(window.asked) <= asked, window.asked
    assert len(window.pictures) <= pictures
    assert milliseconds < MAX_MILLISECONDS


def test_the_overview_counts_what_there_is(window: Window) -> None:
    window.show("overview")
    assert WAITING > 10_000
    expect(window.station("Images")).to_contain_text("10,000+ waiting")
    expect(window.station("Predictions")).to_contain_text(f"{PICTURES} today")


def test_more_images_come_when_they_are_asked_for(window: Window) -> None:
    page = window.show("images")
    # A tile has lists of its own.
    tiles = page.get_by_role("list", name="Images", exact=True).locator("> li")
    expect(tiles).to_have_count(60)
    page.get_by_role("button", name="Show more").click()
    expect(tiles).to_have_count(120)
    expect(tiles.nth(60).get_by_role("link")).to_be_focused()


def test_all_days_are_counted(window: Window) -> None:
    page = window.show("predictions")
    rows = page.get_by_role("region", name="Predictions by day").get_by_role("row")
    expect(rows).to_have_count(BATCHES_BEFORE + 2)
