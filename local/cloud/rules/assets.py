"""Versioned assets: models, data, environments, components and code, with Azure ML's rules of versions.

What may change on an existing version, and what `latest` and the next version are: azure-ai-ml,
`_utils/_asset_utils.py` and `operations/_{model,data,code,component,environment}_operations.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.cloud.errors import BadRequestError, ConflictError, NotFoundError, UserError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import WorkspaceScope
from local.cloud.rules.listing import Page, by_tags, by_view, paginate


@dataclass(frozen=True)
class AssetKind:
    """A kind of asset: its path segment, and the properties of a version that never change."""

    segment: str
    fixed: tuple[str, ...]
    path: str | None
    """The property that says where the asset's files lie; a change of it has an error of its own."""


KINDS = {
    kind.segment: kind
    for kind in (
        AssetKind("models", ("modelUri", "modelType"), "modelUri"),
        AssetKind("data", ("dataUri", "dataType"), "dataUri"),
        AssetKind("environments", ("image", "build", "condaFile", "osType", "inferenceConfig"), None),
        AssetKind("components", ("componentSpec",), None),
        AssetKind("codes", ("codeUri", "hash_sha256"), "codeUri"),
    )
}


class Assets:
    """Reads and writes containers (all versions of one name) and versions."""

    def __init__(self, store: ResourceStore, on_model: Callable[[WorkspaceScope, Resource], None]) -> None:
        self._store = store
        self._on_model = on_model

    def put_version(self, scope: WorkspaceScope, kind: AssetKind, name: str, version: str, body: Json) -> Resource:
        """Create a version, or change the mutable parts of an existing one.

        Raises UserError when an existing version's path would change, ConflictError for any other fixed property.
        """
        self._store.get(scope.id)
        version_id = scope.child(f"{kind.segment}/{name}/versions/{version}")
        properties = _checked(kind, body)
        existing = self._store.find(version_id)
        if existing is not None:
            _require_unchanged(kind, name, version, existing.properties, properties)
            # What the second request leaves out (a component's spec after archive, say) stays.
            properties = {**existing.properties, **properties}
        for key in ("tags", "properties", *(("flavors",) if kind.segment == "models" else ())):
            # The service answers these always; the SDK reads them unasked.
            properties[key] = properties.get(key) or {}
        properties["isArchived"] = bool(properties.get("isArchived"))
        properties["provisioningState"] = "Succeeded"
        resource = self._store.put(version_id, {"properties": properties})
        if existing is None:
            self._touch_container(scope, kind, name, properties)
            if kind.segment == "models":
                self._on_model(scope, resource)
        return resource

    def _touch_container(self, scope: WorkspaceScope, kind: AssetKind, name: str, version: Json) -> None:
        container_id = scope.child(f"{kind.segment}/{name}")
        if self._store.find(container_id) is None:
            properties: Json = {"isArchived": False, "tags": {}, "properties": {}, "description": None}
            if kind.segment == "data":
                properties["dataType"] = version.get("dataType")
            self._store.put(container_id, {"properties": properties})

    def put_container(self, scope: WorkspaceScope, kind: AssetKind, name: str, body: Json) -> Json:
        """Change a container's description, tags or archived state, or create it before its first version."""
        container_id = scope.child(f"{kind.segment}/{name}")
        existing = self._store.find(container_id)
        properties = {**(existing.properties if existing else {}), **(body.get("properties") or {})}
        for answered in ("latestVersion", "nextVersion", "provisioningState"):
            properties.pop(answered, None)
        return self._with_versions(self._store.put(container_id, {"properties": properties}))

    def get_container(self, scope: WorkspaceScope, kind: AssetKind, name: str) -> Json:
        """Raises NotFoundError."""
        return self._with_versions(self._store.get(scope.child(f"{kind.segment}/{name}")))

    def _with_versions(self, container: Resource) -> Json:
        """A container's document with `latestVersion` (created last) and `nextVersion` (the largest number + 1)."""
        versions = self._store.children(f"{container.id}/versions")
        numbers = [int(v.name) for v in versions if v.name.isdigit()]
        document = container.document()
        document["properties"] = {
            **container.properties,
            "latestVersion": versions[-1].name if versions else None,
            "nextVersion": str(max(numbers, default=0) + 1),
            "provisioningState": "Succeeded",
        }
        return document

    def list_containers(
        self, scope: WorkspaceScope, kind: AssetKind, query: Mapping[str, str]
    ) -> tuple[list[Json], Page]:
        """Documents and the page they stand on. Anonymous components are left out, as in Azure."""
        containers = [c for c in self._store.children(scope.child(kind.segment)) if c.name != "azureml_anonymous"]
        page = paginate(by_view(containers, query), query)
        return [self._with_versions(container) for container in page.items], page

    def get_version(self, scope: WorkspaceScope, kind: AssetKind, name: str, version: str) -> Resource:
        """Raises NotFoundError."""
        return self._store.get(scope.child(f"{kind.segment}/{name}/versions/{version}"))

    def list_versions(self, scope: WorkspaceScope, kind: AssetKind, name: str, query: Mapping[str, str]) -> Page:
        """A name without versions is an empty list. `hash` (codes) asks for the version of that content in any name."""
        wanted_hash = query.get("hash")
        if kind.segment == "codes" and wanted_hash:
            found = [r for r in self._store.below(scope.child("codes")) if _hash(r) == wanted_hash]
            return paginate(found[:1], query)
        versions = self._store.children(scope.child(f"{kind.segment}/{name}/versions"))
        if query.get("version"):
            versions = [v for v in versions if v.name == query["version"]]
        return paginate(by_tags(by_view(versions, query), query), query)

    def delete_version(self, scope: WorkspaceScope, kind: AssetKind, name: str, version: str) -> bool:
        return self._store.delete(scope.child(f"{kind.segment}/{name}/versions/{version}"))

    def delete_container(self, scope: WorkspaceScope, kind: AssetKind, name: str) -> bool:
        return self._store.delete(scope.child(f"{kind.segment}/{name}"))

    def latest(self, scope: WorkspaceScope, kind: AssetKind, name: str) -> Resource:
        """The active version created last. Raises NotFoundError."""
        page = self.list_versions(scope, kind, name, {"$top": "1"})
        if not page.items:
            raise NotFoundError(f"'{kind.segment}/{name}' has no version.")
        return page.items[0]


def legacy_definition(version: Json) -> str | None:
    """The definition of a v1 data set, by the properties of its version; None for a version that is none.

    v1 data sets come from its own SDK, which can't register them here: one that is put by ARM with a URI as v1's has
    (mltable 1.7, `_aml_utilities/_aml_rest_client_helper.py`) is taken for one, and its own property `legacyDataflow`
    for its definition, an MLTable file's text.
    """
    if not str(version.get("dataUri")).startswith("azureml://locations/"):
        return None
    return str((version.get("properties") or {}).get("legacyDataflow") or "")


def _checked(kind: AssetKind, body: Json) -> Json:
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise BadRequestError("The request has no 'properties'.")
    if kind.path and not properties.get(kind.path):
        raise UserError(f"The property '{kind.path}' is missing.")
    return dict(properties)


def _require_unchanged(kind: AssetKind, name: str, version: str, before: Json, after: Json) -> None:
    for field in kind.fixed:
        old, new = _field(before, field), _field(after, field)
        if new is None or _without_nulls(old) == _without_nulls(new):
            continue
        if field == kind.path:
            # The SDK recognises exactly this code and message (azure-ai-ml, `_artifacts/_constants.py`).
            raise UserError("Asset paths cannot be updated.")
        raise ConflictError(
            f"'{kind.segment}/{name}' version '{version}' exists and its '{field}' cannot be changed; "
            "only description, tags, properties, stage and isArchived can. Use another version."
        )


def _field(properties: Json, field: str) -> Any:
    if field == "hash_sha256":
        return (properties.get("properties") or {}).get(field)
    return properties.get(field)


def _hash(resource: Resource) -> str | None:
    value = _field(resource.properties, "hash_sha256")
    return None if value is None else str(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
