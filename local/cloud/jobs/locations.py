"""Where data lies: every way to name it, resolved to a container and a path on blob storage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from local.cloud.errors import NotFoundError, UserError
from local.cloud.jobs.runs import RunStore
from local.cloud.rules.assets import KINDS, Assets
from local.cloud.rules.datastores import ARTIFACT_DATASTORE, DEFAULT_DATASTORE, Datastores
from local.cloud.rules.ids import WorkspaceScope

MODEL_TYPES = ("mlflow_model", "custom_model", "triton_model")

_DATASTORE = re.compile(
    r"^azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/"
    r"(?:providers/Microsoft\.MachineLearningServices/)?workspaces/[^/]+/)?datastores/([^/]+)/paths/?(.*)$",
    re.IGNORECASE | re.DOTALL,
)
_JOB_OUTPUT = re.compile(r"^azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths/?(.*))?$", re.IGNORECASE | re.DOTALL)
_RUN_ARTIFACT = re.compile(r"^runs:/([^/]+)/(.*)$", re.DOTALL)
_ASSET_ID = re.compile(r"/(models|data|codes)/([^/]+)/versions/([^/]+)$", re.IGNORECASE)
_ASSET_NAME = re.compile(r"^azureml:([^:/@]+)(?::([^:/@]+)|@latest)$")


@dataclass(frozen=True)
class Location:
    """A blob, or everything below a prefix; `path` has no leading slash."""

    container: str
    path: str


def artifacts_uri(run_id: str, path: str = "") -> str:
    """Where a run's artifacts lie (azure-ai-ml, `operations/_job_operations.py`: ExperimentRun/dcid.<run id>/)."""
    return f"azureml://datastores/{ARTIFACT_DATASTORE}/paths/ExperimentRun/dcid.{run_id}/{path}"


def default_output_uri(run_id: str, output: str) -> str:
    """Azure ML's default place of an output: `azureml/<run id>/<output>/` in workspaceblobstore (same source)."""
    return f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{run_id}/{output}/"


class Locations:
    """Resolves URIs, asset ids and asset names."""

    def __init__(self, datastores: Datastores, assets: Assets, runs: RunStore, account_name: str) -> None:
        self._datastores = datastores
        self._assets = assets
        self._runs = runs
        self._account = account_name

    def asset_uri(self, scope: WorkspaceScope, reference: str, kind: str) -> str:
        """The URI behind an asset id or name; any other reference as it is. Raises UserError for a missing asset."""
        text = reference.removeprefix("azureml:") if reference.startswith("azureml:/subscriptions/") else reference
        match = _ASSET_ID.search(text)
        named = _ASSET_NAME.match(text)
        try:
            if match is not None:
                segment, name, version = match.group(1).lower(), match.group(2), match.group(3)
                resource = self._assets.get_version(scope, KINDS[segment], name, version)
            elif named is not None:
                segment = "models" if kind in MODEL_TYPES else "data"
                name, given = named.group(1), named.group(2)
                resource = (
                    self._assets.get_version(scope, KINDS[segment], name, given)
                    if given
                    else self._assets.latest(scope, KINDS[segment], name)
                )
            else:
                return reference
        except NotFoundError as error:
            raise UserError(f"The asset '{reference}' does not exist in workspace '{scope.workspace}'.") from error
        return str(resource.properties[KINDS[segment].path or ""])

    def resolve(self, scope: WorkspaceScope, reference: str, kind: str = "uri_folder") -> Location:
        """The place on blob storage that `reference` names.

        Understood: asset ids and names; `azureml://datastores/…` and its long form; `azureml://jobs/JOB/outputs/NAME`;
        `runs:/RUN/path`; `https://` blob URLs and `wasbs://` of the local account. Raises UserError for anything else.
        """
        uri = self.asset_uri(scope, reference, kind)
        if match := _DATASTORE.match(uri):
            return Location(self._datastores.container(scope, match.group(1)), match.group(2).lstrip("/"))
        if match := _JOB_OUTPUT.match(uri):
            return self._job_output(scope, match.group(1), match.group(2), (match.group(3) or "").lstrip("/"))
        if match := _RUN_ARTIFACT.match(uri):
            return self.resolve(scope, artifacts_uri(match.group(1), match.group(2)))
        if uri.startswith(("http://", "https://", "wasbs://", "wasb://")):
            return self._url(uri)
        raise UserError(f"'{reference}' is not a location that is known.")

    def _job_output(self, scope: WorkspaceScope, job: str, output: str, path: str) -> Location:
        if output in ("artifacts", "default"):
            return self.resolve(scope, artifacts_uri(job, path))
        run = self._runs.find(job)
        if run is None or output not in run.outputs:
            raise UserError(f"The job '{job}' has no output '{output}'.")
        found = self.resolve(scope, run.outputs[output]["uri"])
        return Location(found.container, f"{found.path.rstrip('/')}/{path}" if path else found.path)

    def _url(self, uri: str) -> Location:
        """Account in the host name (Azure, wasbs), or as the first path segment (Azurite and the proxy)."""
        parts = urlsplit(uri)
        path = unquote(parts.path).lstrip("/")
        if parts.scheme in ("wasb", "wasbs"):
            return Location(parts.username or "", path)
        if (parts.hostname or "").split(".")[0] != self._account:
            account, _, path = path.partition("/")
            if account != self._account:
                raise UserError(f"'{uri}' is not in the storage account '{self._account}'.")
        container, _, blob = path.partition("/")
        return Location(container, blob)
