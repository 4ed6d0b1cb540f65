"""A node's folder: its code and inputs come down, its outputs and logs go up."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from local.cloud.errors import UserError
from local.cloud.jobs.locations import Location, Locations, artifacts_uri, default_output_uri
from local.cloud.jobs.plan import InputValue, OutputTarget
from local.cloud.rules.datastores import DEFAULT_DATASTORE
from local.cloud.rules.ids import WorkspaceScope
from local.cloud.storage.blobs import Blobs

FILE_TYPES = ("uri_file",)


@dataclass(frozen=True)
class NodeFolder:
    """Where one node's files lie on this machine."""

    root: Path

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def log(self) -> Path:
        return self.root / "user_logs" / "std_log.txt"

    def input(self, name: str) -> Path:
        return self.root / "inputs" / name

    def output(self, name: str) -> Path:
        return self.root / "outputs" / name

    def reset(self) -> None:
        """Start afresh: what an interrupted try left is gone, as the disk of a pre-empted node is."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (self.code, self.log.parent):
            folder.mkdir(parents=True)


def output_uri(run_id: str, name: str, target: OutputTarget, pipeline: OutputTarget | None, job: str) -> str:
    """Where an output goes: the URI of the output, else of the pipeline output it fills, else the default place.

    In a given URI `${{name}}`, `${{output_name}}` and `${{default_datastore}}` are filled in, as Azure ML does.
    """
    for given, owner, label in ((target, run_id, name), (pipeline, job, target.parent or name)):
        if given is not None and given.uri:
            values = {"name": owner, "output_name": label, "default_datastore": DEFAULT_DATASTORE}
            return re.sub(r"\$\{\{\s*(\w+)\s*\}\}", lambda m: values.get(m.group(1), m.group(0)), given.uri)  # noqa: B023 - used at once
    return default_output_uri(run_id, name)


class Transfer:
    """Downloads and uploads for one workspace."""

    def __init__(self, scope: WorkspaceScope, locations: Locations, blobs: Blobs) -> None:
        self._scope = scope
        self._locations = locations
        self._blobs = blobs

    async def download_code(self, reference: str, folder: NodeFolder) -> None:
        """Raises UserError when the code asset does not exist or is empty."""
        found = self._locations.resolve(self._scope, reference)
        if not await asyncio.to_thread(
            self._blobs.download, found.container, f"{found.path.rstrip('/')}/", folder.code
        ):
            raise UserError(f"The code '{reference}' is empty.")

    async def download_input(self, name: str, value: str, given: InputValue, folder: NodeFolder) -> Path | str:
        """The local path of a data input; for mode Direct the URI itself. Raises UserError when it is empty."""
        if (given.mode or "").lower() == "direct":
            return self._locations.asset_uri(self._scope, value, given.type)
        found = self._locations.resolve(self._scope, value, given.type)
        target = folder.input(name)
        single = given.type in FILE_TYPES or _looks_like_file(found)
        if single:
            target = target / found.path.rsplit("/", 1)[-1]
        count = await asyncio.to_thread(self._blobs.download, found.container, found.path, target)
        if count == 0:
            raise UserError(f"The input '{name}' has no data: there is nothing at '{value}'.")
        return target

    async def restore_output(self, uri: str, target: Path) -> None:
        """For a mounted output: what lies at its place already is visible to the node."""
        found = self._locations.resolve(self._scope, uri)
        await asyncio.to_thread(self._blobs.download, found.container, f"{found.path.rstrip('/')}/", target)

    async def upload_output(self, uri: str, path: Path, only: set[Path] | None = None) -> None:
        found = self._locations.resolve(self._scope, uri)
        await self._blobs.ensure([found.container])
        await asyncio.to_thread(self._blobs.upload, path, found.container, found.path, only)

    async def upload_artifacts(self, run_id: str, path: Path, prefix: str = "") -> None:
        """Upload a file or folder to a run's artifacts, below `prefix`."""
        await self.upload_output(artifacts_uri(run_id, prefix), path)


class MountedOutput:
    """Uploads the files of a mounted output as they appear and change."""

    def __init__(self, transfer: Transfer, uri: str, path: Path) -> None:
        self._transfer = transfer
        self._uri = uri
        self._path = path
        self._seen: dict[Path, tuple[int, int]] = {}

    async def start(self) -> None:
        await self._transfer.restore_output(self._uri, self._path)
        self._changed()

    async def sync(self) -> None:
        changed = self._changed()
        if changed:
            await self._transfer.upload_output(self._uri, self._path, changed)

    def _changed(self) -> set[Path]:
        changed: set[Path] = set()
        for file in self._path.rglob("*"):
            try:
                state = file.stat()
            except FileNotFoundError:
                # Renamed or deleted since it was listed; a renamed file is found under its new name.
                continue
            mark = (state.st_mtime_ns, state.st_size)
            if file.is_file() and self._seen.get(file) != mark:
                self._seen[file] = mark
                changed.add(file)
        return changed


def _looks_like_file(found: Location) -> bool:
    """A model may be one file (`model.onnx`): keep its name. A folder's last segment has no suffix, as a rule."""
    last = found.path.rsplit("/", 1)[-1]
    return "." in last.strip(".")
