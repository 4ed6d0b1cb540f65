"""Azure ML's data plane for data assets: what ARM does not tell of a version.

Shapes: azure-ai-ml, `_restclient/dataset_dataplane`; `isV2` and `legacyDataflow` as mltable 1.7 reads them.
"""

from __future__ import annotations

from local.cloud.rules.assets import KINDS, Assets, legacy_definition
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.wire.http import Json, Reply, Request, Route

_WORKSPACE = f"subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{ML_PROVIDER}/workspaces/{{workspace}}"
_VERSION = f"/data/v1.0/{_WORKSPACE}/dataversion/{{name}}/versions/{{version}}"


def dataset_routes(assets: Assets) -> list[Route]:
    """One version of a data asset."""

    async def get(request: Request) -> Reply:
        name, version = request.params["name"], request.params["version"]
        properties = assets.get_version(request.workspace, KINDS["data"], name, version).properties
        definition = legacy_definition(properties)
        document: Json = {
            "dataVersion": {
                "dataContainerName": name,
                "versionId": version,
                "dataType": properties.get("dataType"),
                "dataUri": properties.get("dataUri"),
            },
            "isV2": definition is None,
            "legacyDataflow": definition,
        }
        return Reply(document)

    return [Route("GET", _VERSION, get, "data version: isV2, a v1 data set's definition", "azure-ai-ml, mltable")]
