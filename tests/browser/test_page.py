"""The page as people use it, in a browser, on a running stack: what it shows, what it does, and what it never does."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from local.demo.client import wait_for
from tests.browser.conftest import OpenWindow
from tests.browser.loop import BROKEN, IMAGES, Loop, Retrained, retrain, running_loop
from tests.browser.window import NARROW, WIDE, Window
from tests.contract.local_stack import IDLE_NODES
from tests.e2e.support import jobs
from tests.support import plain_jpeg

pytestmark = pytest.mark.e2e

IMAGE = "images/images%2Fscene-0001.jpg"
# Each view, and what it must show of this loop; for those that live on what is named in braces, see `address`.
VIEWS = {
    "overview": ["Training", "multilabel:", f"{IMAGES} today", "1 image with an error", "could not be scored", ".csv"],
    "images": ["scene-", "banana", "broken.jpg", "rejected"],
    IMAGE: ["What became of it", "Went into batch", "Scored by multilabel:1", "Corrected by"],
    f"images/{BROKEN.replace('/', '%2F')}": ["rejected", "Ended with an error"],
    "review": ["Save and go on", "threshold 0.50", "Export corrections and train"],
    "models": ["multilabel:1", "multilabel:2", "it is the first one"],
    "models/2": ["macro average precision", "95 % interval", "F1 of each label", "Threshold", "The label export"],
    "runs": ["corrections-", "trained", "Completed", "in the app"],
    "runs/exports/{export}": ["trained", "Its training", "train", "something else"],
    "runs/jobs/{job}": ["completed", "Register model", "Node hours"],
    "runs/batches/{batch}": ["in the app", "multilabel:1", ".csv"],
    "predictions": ["Labels over the last 30 days", "By day", "banana"],
}
# As many requests as each view makes today, and one more.
MAX_ASKED = {"overview": 1, "images": 1, "review": 1, "models": 1, "models/2": 2, "runs": 3, "predictions": 1}
SPARE = 1


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with running_loop(tmp_path_factory.mktemp("page")) as loop:
        yield loop


@pytest.fixture(scope="module")
def environment(loop: Loop) -> dict[str, str]:
    return dict(loop.client.environment)


@pytest.fixture(scope="module")
def retrained(loop: Loop, browser: Browser, environment: dict[str, str]) -> Iterator[Retrained]:
    window = Window(browser, environment["FUNCTIONS_URL"], environment["FUNCTIONS_OPERATE_KEY"])
    yield retrain(loop, window)
    window.close()
    assert window.faults == []


@pytest.fixture
def idle_training(loop: Loop, retrained: Retrained) -> Iterator[str]:
    """The name of a training that runs, and comes to nothing."""
    loop.set_faults(IDLE_NODES)
    before = {str(each["name"]) for each in jobs(loop.client, "training")}
    # Whatever was trained before is not trained again.
    body = json.dumps({"export": retrained.export, "training_batch_size": len(before) + 1}).encode()
    assert loop.client.request("POST", "/api/train", body, "application/json").status == 202
    wait_for("a training", lambda: len(jobs(loop.client, "training")) > len(before), seconds=60)
    (name,) = {str(each["name"]) for each in jobs(loop.client, "training")} - before
    yield name
    loop.client.request("POST", f"/api/jobs/{name}/cancel")
    wait_for("its end", lambda: loop.client.get(f"/api/jobs/{name}")["status"] == "Canceled", seconds=60)
    loop.set_faults()


def address(loop: Loop, retrained: Retrained, view: str) -> str:
    """A view of something that this loop made."""
    if "{" not in view:
        return view
    export = loop.client.get("/api/exports")["exports"][0]["id"]
    batch = next(each["id"] for each in loop.client.get("/api/batches?limit=200")["batches"] if each["images"] > 1)
    return view.format(export=export, job=retrained.job, batch=batch)


# What it shows


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shows_what_the_loop_has_done(view: str, loop: Loop, retrained: Retrained, window: Window) -> None:
    page = window.show(address(loop, retrained, view))
    for text in VIEWS[view]:
        expect(page.locator("main")).to_contain_text(text)
    assert len(window.asked) <= MAX_ASKED.get(view, 2) + SPARE, window.asked


def test_what_was_corrected_with_the_keyboard_is_kept_and_trained_on(loop: Loop, retrained: Retrained) -> None:
    kept = {each["path"]: each for each in loop.client.get("/api/corrections?limit=200")["corrections"]}
    container, _, path = retrained.export.partition("/")
    rows = [json.loads(line) for line in loop.client.read(container, path).decode().splitlines()]
    for image, labels in retrained.said.items():
        assert set(kept[image]["labels"]) == set(labels)
        assert kept[image]["who"].endswith(" key")
        (row,) = [each for each in rows if each["image_url"].endswith(f"/{image}")]
        assert set(row["label"]) == set(labels)
    assert "something else" in loop.client.get("/api/models/2")["card"]["labels"]


def test_images_are_found_by_label_state_probability_and_date(loop: Loop, window: Window) -> None:
    page = window.show("images")
    form = page.get_by_role("form", name="Filters")
    form.get_by_label("State").select_option("rejected")
    form.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("list", name="Images").get_by_role("listitem")).to_have_count(1)
    form.get_by_label("State").select_option("scored")
    form.get_by_label("Label").fill("banana")
    form.get_by_label("Probability from").fill("0.99")
    form.get_by_label("Since").fill("2026-01-01")
    form.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No image matches these filters")).to_be_visible()


# What it does


def test_an_image_that_is_uploaded_gets_its_prediction_without_a_reload(
    loop: Loop, window: Window, tmp_path: Path
) -> None:
    page = window.show("images")
    page.evaluate("window.sameDocument = true")
    chosen = tmp_path / "chosen.jpg"
    chosen.write_bytes(plain_jpeg((10, 200, 30)))
    page.get_by_label("Images to upload").set_input_files(chosen)
    drop(page, "dropped.jpg", plain_jpeg((10, 20, 230)))
    uploaded = page.get_by_role("list", name="Images uploaded just now")
    for name in ("chosen.jpg", "dropped.jpg"):
        tile = uploaded.get_by_role("link").filter(has_text=name)
        expect(tile).to_contain_text("scored")
        expect(tile.get_by_role("list", name="Most probable labels")).to_be_visible()
        expect(tile.locator("img")).to_have_js_property("complete", value=True)
    assert page.evaluate("window.sameDocument")
    paths = {image["path"].rpartition("/")[2] for image in loop.predicted()}
    assert {"chosen.jpg", "dropped.jpg"} <= paths


def test_promoting_asks_first_and_makes_another_champion(loop: Loop, retrained: Retrained, window: Window) -> None:
    before = loop.champion()
    other = {"1": "2", "2": "1"}[before]
    page = window.show("models")
    button = page.get_by_role("button", name=f"Promote multilabel:{other}")
    button.click()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert loop.champion() == before
    button.click()
    page.get_by_role("dialog", name=f"Use multilabel:{other}?").get_by_role("button", name="Promote").click()
    expect(page.get_by_role("row").filter(has_text=f"multilabel:{other}")).to_contain_text("in use")
    assert loop.champion() == other
    # And back, from the version's own view.
    page = window.show(f"models/{before}")
    page.get_by_role("button", name="Promote this version").click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.locator("main")).to_contain_text("In use.")
    assert loop.champion() == before


def test_a_training_is_seen_live_and_canceled(loop: Loop, idle_training: str, open_window: OpenWindow) -> None:
    for motion, is_still in (("no-preference", False), ("reduce", True)):
        window = open_window(reduced_motion=motion)
        page = window.show("overview")
        training = window.station("Training")
        expect(training.get_by_role("progressbar", name="Progress of the training")).to_be_visible()
        expect(training).to_contain_text("node hours")
        assert (page.evaluate("document.getAnimations().length") == 0) == is_still
    page = open_window().show(f"runs/jobs/{idle_training}")
    page.get_by_role("button", name="Cancel this job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("button", name="Cancel this job")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("canceled")
    assert loop.client.get(f"/api/jobs/{idle_training}")["status"] == "Canceled"


def test_predictions_are_downloaded_for_a_range_of_days(loop: Loop, window: Window) -> None:
    page = window.show("predictions")
    form = page.get_by_role("form", name="Download")
    button = form.get_by_role("button", name="Download")
    saved: list[Download] = []
    page.on("download", lambda download: saved.append(download))  # noqa: PLW0108 # Playwright takes no built-in

    def downloaded() -> list[Download]:
        """What comes of it: a file for each model whose labels are others."""
        saved.clear()
        button.click()
        expect(form.get_by_role("status")).to_contain_text("saved")
        expect(button).to_be_enabled()
        return saved

    files = [each.path().read_text() for each in downloaded()]
    assert all(each.suggested_filename.endswith(".csv") for each in saved)
    rows = [row for file in files for row in csv.DictReader(io.StringIO(file))]
    assert {image.name for image in loop.images} <= {row["image"] for row in rows}
    form.get_by_label("Format").select_option("jsonl")
    form.get_by_label("Label").fill("banana")
    labelled = [json.loads(line) for each in downloaded() for line in each.path().read_text().splitlines()]
    assert labelled
    assert all("banana" in each["labels"] for each in labelled)


# The key


def test_the_key_is_asked_for_until_it_opens_and_stays_in_the_tab(
    open_window: OpenWindow, environment: dict[str, str]
) -> None:
    window = open_window(key="")
    page = window.page
    page.goto(window.address("models"))
    dialog = page.get_by_role("dialog", name="Which key?")
    dialog.get_by_label("Function key").fill("not-the-key")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("That key does not open this")
    key = environment["FUNCTIONS_READ_KEY"]
    dialog.get_by_label("Function key").fill(key)
    page.keyboard.press("Enter")
    window.await_view("models")
    kept = page.evaluate("() => [JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
    assert [key in each for each in kept] == [True, False, False]
    assert not any(key in request or "not-the-key" in request for request in window.requests)
    assert key not in page.url
    page.get_by_role("button", name="Forget the key").click()
    expect(dialog).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


# Everybody can use it


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible_wide_and_narrow_light_and_dark(
    view: str, loop: Loop, retrained: Retrained, window: Window
) -> None:
    page = window.show(address(loop, retrained, view))
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert window.violations() == [], f"{view}, {size['width']} px, {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.parametrize("view", VIEWS)
def test_all_of_a_view_is_reached_with_the_keyboard(
    view: str, loop: Loop, retrained: Retrained, window: Window
) -> None:
    window.show(address(loop, retrained, view))
    assert window.unreachable() == []


def test_the_first_tab_leads_past_the_navigation(window: Window) -> None:
    page = window.show("models")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url == window.address("models")


def test_a_dialog_keeps_the_focus_and_gives_it_back(retrained: Retrained, window: Window) -> None:
    page = window.show("review")
    opener = page.get_by_role("button", name="Export corrections and train")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert window.violations() == []
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("!!document.activeElement.closest('dialog') || document.activeElement === document.body")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def drop(page: Page, name: str, content: bytes) -> None:
    """Let go of a file over the page."""
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
          return transfer;
        }""",
        [name, list(content)],
    )
    page.locator("main").dispatch_event("drop", {"dataTransfer": transfer})
