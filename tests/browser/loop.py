"""A small real loop: a stack with a first model that hardly knows anything, and images that it has predicted; then what
a person says of them, through the page, and the model that is trained on that.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from azure.ai.ml.entities import Model
from playwright.sync_api import Page, expect

from local.demo.client import wait_for
from local.demo.data import KnownImage, read_data
from local.sample import make_sample_set
from local.stack import Stack
from shared.clients import Clients
from shared.inference import CARD_FILE
from shared.models import Champion, model_store
from tests.browser.window import Window
from tests.e2e.support import TRAIN_SECONDS, jobs
from tests.faults.support import FaultyStack
from tests.support import close_clients, write_bundle

IMAGES, SEED = 44, 5
BROKEN = "images/broken.jpg"
FIRST_JOB = "train-1"
FIRST_LABELS = ("apple", "banana", "book")
SETTINGS = {
    "INLINE_MAX_IMAGES": "100",
    "BATCH_INTERVAL": "* * * * * *",
    "BATCH_QUIET_SECONDS": "1",
    "MIN_IMAGES_PER_LABEL": "3",
}
BY_KEYBOARD = 3
# So many are left for those who look at the review afterwards.
LEFT = 4
NEW_LABEL = "something else"


class Loop(FaultyStack):
    """A stack whose champion is `multilabel:1`, with images that it has predicted, and one that is none."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        make_sample_set(folder / "sample", IMAGES, SEED)
        self.images: list[KnownImage] = read_data(folder / "sample")
        super().__init__(stack, folder)
        files = ((image.name, image.file.read_bytes()) for image in self.images)
        container = self.settings.images_container
        self.client.upload(container, [*files, (BROKEN, b"this is no image")])
        wait_for("the predictions", lambda: len(self.predicted()) > IMAGES, seconds=120)

    def _promote(self, clients: Clients, folder: Path) -> None:
        """Its labels are those of colours, and it is sure of nothing."""
        metric = clients.settings.promote_metric
        bundle = write_bundle(folder / "bundle", FIRST_LABELS, scale=1.0)
        decision = {"promote": True, "reason": "it is the first one"}
        card = {"job": FIRST_JOB, "metrics": {metric: 0.2, "micro_f1": 0.2, "labels": {}}, "decision": decision}
        file = bundle / CARD_FILE
        file.write_text(json.dumps({**json.loads(file.read_text()), **card}))
        store = model_store(clients)
        path = store.bundle_path(FIRST_JOB)
        store.upload_bundle(bundle, path)
        champion = Champion(store.model_name, "1", path, metric, 0.2, FIRST_JOB, "2026-11-24T06:00:00+00:00")
        assert store.promote(champion, store.champion_and_etag()[1])
        tags = {"job": FIRST_JOB, metric: "0.2000", "micro_f1": "0.2000", "reason": decision["reason"]}
        url = f"azureml://datastores/{clients.settings.work_container}/paths/{path}/"
        model = Model(name=champion.name, version="1", type="custom_model", path=url, tags=tags)
        clients.ml.models.create_or_update(model)

    def predicted(self) -> list[dict[str, Any]]:
        """The images that have ended, newest first."""
        found: list[dict[str, Any]] = self.client.get("/api/images?limit=200")["images"]
        return found

    def champion(self) -> str:
        return str(self.client.get("/api/models/champion")["version"])

    def versions(self) -> list[str]:
        return [str(each["version"]) for each in self.client.get("/api/models")["models"]]


@contextlib.contextmanager
def running_loop(folder: Path) -> Iterator[Loop]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        with Stack(folder / "state", say=lambda _: None) as stack:
            for name, value in stack.config.identity_environment().items():
                patch.setenv(name, value)
            loop = Loop(stack, folder)
            yield loop
            loop.close()
            close_clients()


@dataclass(frozen=True)
class Retrained:
    """What a person said with the keyboard alone (labels by path), and what came of it."""

    said: dict[str, tuple[str, ...]]
    export: str
    job: str
    version: str


def retrain(loop: Loop, window: Window) -> Retrained:
    """Correct some images with the keyboard, and most others over HTTP; export that with the keyboard; wait for the
    training and its model, which the page is to show without being loaded again.
    """
    page = window.show("review")
    said = dict(_correct(window, page) for _ in range(BY_KEYBOARD))
    _correct_the_others(loop, said)
    window.tab_to(page.get_by_role("button", name="Export corrections and train"))
    page.keyboard.press("Enter")
    window.tab_to(page.get_by_role("dialog").get_by_role("button", name="Export and train"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Messages")).to_contain_text("Exported to")
    page = window.show("runs")
    training = page.get_by_role("region", name="Trainings").get_by_role("link", name="train-")
    training.first.wait_for(timeout=60_000)
    job = training.first.inner_text()
    wait_for("a second version", lambda: "2" in loop.versions(), seconds=TRAIN_SECONDS)
    expect(page.get_by_role("region", name="Trainings")).to_contain_text("Completed", timeout=60_000)
    (export,) = loop.client.get("/api/exports")["exports"]
    assert [each["name"] for each in jobs(loop.client, "training")] == [export["job"]] == [job]
    return Retrained(said, str(export["export"]), job, "2")


def _correct(window: Window, page: Page) -> tuple[str, tuple[str, ...]]:
    """Say of the image that is shown that it has the first two labels, and a new one."""
    panel = page.get_by_role("region", name="Image to review")
    link = panel.get_by_role("heading").get_by_role("link")
    path = unquote((link.get_attribute("href") or "").removeprefix("#/images/"))
    boxes = panel.get_by_role("checkbox")
    wanted = [boxes.nth(0), boxes.nth(1)]
    for number in range(boxes.count()):
        if boxes.nth(number).is_checked() != (number < len(wanted)):
            page.keyboard.press(str(number + 1))
    window.tab_to(panel.get_by_role("textbox", name="Another label"))
    page.keyboard.type(NEW_LABEL)
    page.keyboard.press("Enter")
    labels = (*FIRST_LABELS[:2], NEW_LABEL)
    for label in labels:
        expect(panel.get_by_role("checkbox", name=label)).to_be_checked()
    page.keyboard.press("Enter")
    expect(link).not_to_have_attribute("href", f"#/images/{quote(path, safe='')}")
    return path, labels


def _correct_the_others(loop: Loop, said: dict[str, tuple[str, ...]]) -> None:
    known = {image.name: image.labels for image in loop.images[:-LEFT]}
    for image in loop.predicted():
        if image["path"] in known and image["path"] not in said:
            body = json.dumps({"etag": image["etag"], "labels": known[image["path"]]}).encode()
            answer = loop.client.request("PUT", f"/api/corrections/{image['path']}", body, "application/json")
            assert answer.status == 200, answer.body
