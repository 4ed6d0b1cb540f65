"""The demo's steps, in the order in which a user meets them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.demo.client import Client, DemoError, wait_for
from local.demo.data import DataError, KnownImage, coco_export, read_data
from local.demo.report import images_more_than_once, measure, read_rows
from local.stack import Stack, StackError, delete_state

LABELLED_FOLDER = "labelled"
EXPORT_PATH = "Labeling/export/coco/demo/labels.json"
BROKEN_IMAGE = "broken.jpg"
SHOWN_ROWS = 5
PROVISION_SECONDS, TRAIN_SECONDS, SCORE_SECONDS = 120, 600, 300


def run_demo(data: Path | None, state: Path) -> int:
    """Run the whole loop on a fresh stack; returns the exit status."""
    clock = Clock()
    try:
        delete_state(state)
        with clock.step("sample images" if data is None else "reading images"):
            images = _images(data, state.with_name(f"{state.name}-sample"))
        stack = Stack(state)
        try:
            with clock.step("start"):
                stack.start()
            summary = Demo(Client(stack.environment()), images, clock, state).run()
        finally:
            with clock.step("stop"):
                stack.stop()
        clock.print_summary()
    except DataError as error:
        print(f"demo: failed: {error}", file=sys.stderr)
        return 1
    except (DemoError, StackError) as error:
        print(f"demo: failed: {error}\ndemo: logs are in {state / 'logs'}", file=sys.stderr)
        return 1
    print(summary)
    return 0


def _images(data: Path | None, folder: Path) -> list[KnownImage]:
    if data is None:
        from local.sample import make_sample_set

        make_sample_set(folder)
        data = folder
    return read_data(data)


class Clock:
    """Prints what is under way and remembers how long each step took (s)."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._steps: list[tuple[str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.say(name)
        started = time.monotonic()
        yield
        self._steps.append((name, time.monotonic() - started))

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)

    def print_summary(self) -> None:
        print("\nsteps:")
        for name, seconds in self._steps:
            print(f"  {seconds:6.1f} s  {name}")
        print(f"  {time.monotonic() - self._started:6.1f} s  in all\n")


class Demo:
    """The loop as an outside client drives it."""

    def __init__(self, client: Client, images: list[KnownImage], clock: Clock, state: Path) -> None:
        self._client = client
        self._clock = clock
        self._state = state
        self._labelled = [image for image in images if image.split == "labelled"]
        self._new = [image for image in images if image.split == "new"]
        self._environment = client.environment
        self._images_container = self._environment["IMAGES_CONTAINER"]
        self._predictions_container = self._environment["PREDICTIONS_CONTAINER"]

    def run(self) -> str:
        """Carry out all steps; returns the summary line. Raises DemoError."""
        with self._clock.step("provision"):
            self._provision()
        with self._clock.step(f"upload {len(self._labelled)} labelled images and their export"):
            self._export_labels()
        with self._clock.step("train, register, promote"):
            job, model = self._await_model()
        batch, alone = self._new[:-1], self._new[-1]
        with self._clock.step(f"score {len(batch)} new images"):
            self._client.upload(self._images_container, ((image.name, image.file.read_bytes()) for image in batch))
            self._await_rows({image.name for image in batch})
            for scoring in self._client.get("/api/jobs?kind=scoring")["jobs"]:
                self._clock.say(f"  on the cluster, by job {scoring['name']}")
        with self._clock.step("score one image alone, in the app"):
            self._client.upload(self._images_container, [(alone.name, alone.file.read_bytes())])
            self._await_rows({image.name for image in self._new})
        with self._clock.step("a file that is no image"):
            self._client.upload(self._images_container, [(BROKEN_IMAGE, b"this is no image")])
            rows = self._await_rows({BROKEN_IMAGE, *(image.name for image in self._new)})
        with self._clock.step("predict over HTTP"):
            answer = self._predict(alone)
        return self._report(rows, job, model, answer)

    def _provision(self) -> None:
        answer = self._client.request("POST", "/api/provision")
        if answer.status != 202:
            raise DemoError(f"POST /api/provision answered {answer.status}: {answer.body}")
        seen: set[str] = set()

        def ready() -> bool:
            report = self._client.get("/api/provision")
            for resource in report["resources"]:
                name = f"{resource['type']} {resource['name']}"
                if resource["state"] == "ready" and name not in seen:
                    seen.add(name)
                    self._clock.say(f"  {name}")
            if report["state"] == "failed":
                failed = next(each for each in report["resources"] if each["state"] == "failed")
                raise DemoError(f"{failed['type']} {failed['name']} could not be made: {failed['error']}")
            return bool(report["state"] == "ready")

        wait_for("provisioning", ready, seconds=PROVISION_SECONDS)

    def _export_labels(self) -> None:
        container = self._environment["LABELS_CONTAINER"]
        files = ((f"{LABELLED_FOLDER}/{image.name}", image.file.read_bytes()) for image in self._labelled)
        self._client.upload(container, files)
        url = self._client.storage.get_container_client(container).url
        export = coco_export(self._labelled, "workspaceblobstore", url, LABELLED_FOLDER)
        self._client.upload(container, [(EXPORT_PATH, export)])

    def _await_model(self) -> tuple[str, dict[str, Any]]:
        job = str(wait_for("a training job", self._training_job, seconds=TRAIN_SECONDS))
        self._clock.say(f"  training {job}")
        shown: dict[str, str] = {}

        def ended() -> bool:
            described = self._client.get(f"/api/jobs/{job}")
            for step in [*described["steps"], {"name": "pipeline", "status": described["status"]}]:
                if shown.get(step["name"]) != step["status"]:
                    shown[step["name"]] = step["status"]
                    self._clock.say(f"  {step['name']}: {step['status']}")
            if described["status"] in {"Failed", "Canceled"}:
                failed = [step["job"] for step in described["steps"] if step["status"] == "Failed"]
                logs = [str(self._state / "cloud" / "runs" / run / "user_logs") for run in failed]
                raise DemoError(f"training {job} ended as {described['status']}; see {', '.join(logs) or 'the logs'}")
            return bool(described["status"] == "Completed")

        wait_for(f"the end of training {job}", ended, seconds=TRAIN_SECONDS)
        model = self._client.get("/api/models/champion")
        self._clock.say(f"  champion {model['name']}:{model['version']}: {model['tags'].get('reason')}")
        return job, model

    def _training_job(self) -> str | None:
        found = self._client.get("/api/jobs?kind=training")["jobs"]
        if found:
            return str(found[0]["name"])
        report = self._client.report(f"{self._environment['LABELS_CONTAINER']}/{EXPORT_PATH}")
        if report and report["problems"]:
            raise DemoError(f"the label export was {report['state']}: {'; '.join(report['problems'])}")
        return None

    def _await_rows(self, images: set[str]) -> list[dict[str, str]]:
        """Wait until each image has a row in some CSV; returns all rows."""
        rows: list[dict[str, str]] = []

        def complete() -> bool:
            rows[:] = read_rows([self._client.read(self._predictions_container, path) for path in self._csv_paths()])
            return images <= {row["image"] for row in rows}

        wait_for(f"the CSV rows of {len(images)} images", complete, seconds=SCORE_SECONDS)
        return rows

    def _csv_paths(self) -> list[str]:
        return self._client.blobs(self._predictions_container, ".csv")

    def _predict(self, image: KnownImage) -> dict[str, Any]:
        answer = self._client.request("POST", "/api/predict", image.file.read_bytes(), "image/jpeg")
        if answer.status != 200:
            raise DemoError(f"POST /api/predict answered {answer.status}: {answer.body}")
        prediction: dict[str, Any] = answer.body["predictions"][0]
        return prediction

    def _report(self, rows: list[dict[str, str]], job: str, model: dict[str, Any], answer: dict[str, Any]) -> str:
        truth = {image.name: image.labels for image in self._new}
        twice = images_more_than_once(rows)
        if twice:
            raise DemoError(f"images with several rows: {', '.join(twice[:10])}")
        unknown = {row["image"] for row in rows} - {*truth, BROKEN_IMAGE}
        if unknown:
            raise DemoError(f"rows of images that were never uploaded: {', '.join(sorted(unknown)[:10])}")
        broken = next(row for row in rows if row["image"] == BROKEN_IMAGE)
        if not broken["error"] or broken["labels"]:
            raise DemoError(f"{BROKEN_IMAGE} is no image, but its row is {broken}")
        errors = [row for row in rows if row["error"] and row["image"] != BROKEN_IMAGE]
        accuracy = measure(rows, truth)
        self._print_rows(rows, broken, answer)
        self._print_places(job, model)
        return (
            f"demo: {len(self._labelled)} images labelled, {len(self._new)} new, "
            f"{len(rows) - 1 - len(errors)} scored, {len(errors)} errors, "
            f"mAP {accuracy.mean_average_precision:.3f}, micro-F1 {accuracy.micro_f1:.3f}"
        )

    def _print_rows(self, rows: list[dict[str, str]], broken: dict[str, str], answer: dict[str, Any]) -> None:
        print("\nfirst rows (image · predicted · known):")
        known = {image.name: ";".join(image.labels) for image in self._new}
        for row in rows[:SHOWN_ROWS]:
            print(f"  {row['image']} · {row['labels'] or '-'} · {known.get(row['image'], '-')}")
        print(f"  {broken['image']} · error: {broken['error']}")
        print(f"POST /api/predict: {', '.join(answer['labels']) or '-'}")

    def _print_places(self, job: str, model: dict[str, Any]) -> None:
        copies = self._state / "predictions"
        copies.mkdir(exist_ok=True)
        print("\nfiles (container/path in the local storage account):")
        print(f"  label export   {self._environment['LABELS_CONTAINER']}/{EXPORT_PATH}")
        print(f"  model          {model['name']}:{model['version']}, by training {job}")
        for path in self._csv_paths():
            copy = copies / Path(path).name
            copy.write_bytes(self._client.read(self._predictions_container, path))
            print(f"  predictions    {self._predictions_container}/{path}\n                 copied to {copy}")
