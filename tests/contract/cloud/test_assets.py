"""Versions of models, data and environments, through the unmodified SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import CommandComponent, Data, Environment, Model
from azure.ai.ml.exceptions import AssetPathException
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from local.config import StackConfig
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.recorder import await_true

PATH = "azureml://datastores/workspaceblobstore/paths/models"
Unique = Callable[[str], str]


def model(name: str, version: str | None = None, **options: object) -> Model:
    options.setdefault("path", f"{PATH}/{version or 'x'}")
    return Model(name=name, version=version, type="custom_model", **options)


def test_a_model_without_a_version_gets_the_next_number(ml: MLClient, unique: Unique) -> None:
    name = unique("counted")
    versions = [ml.models.create_or_update(model(name, path=f"{PATH}/{i}")).version for i in range(3)]
    assert versions == ["1", "2", "3"]
    assert ml.models.create_or_update(model(name, "7")).version == "7"
    assert ml.models.create_or_update(model(name, path=f"{PATH}/8")).version == "8"


def test_latest_is_the_version_created_last_even_if_an_older_one_was_changed_since(
    ml: MLClient, unique: Unique
) -> None:
    name = unique("latest")
    first = ml.models.create_or_update(model(name, "2"))
    ml.models.create_or_update(model(name, "1"))
    first.tags = {"touched": "yes"}
    ml.models.create_or_update(first)
    assert ml.models.get(name, label="latest").version == "1"
    assert ml.models.get(name, version="2").tags == {"touched": "yes"}


def test_versions_are_listed_newest_first_across_pages(ml: MLClient, unique: Unique) -> None:
    name = unique("many")
    for version in range(1, 104):
        ml.models.create_or_update(model(name, str(version)))
    assert [m.version for m in ml.models.list(name=name)] == [str(v) for v in range(103, 0, -1)]


def test_an_existing_version_keeps_its_path(ml: MLClient, unique: Unique) -> None:
    name = unique("fixed")
    ml.models.create_or_update(model(name, "1", path=f"{PATH}/a", tags={"a": "1"}))
    ml.models.create_or_update(model(name, "1", path=f"{PATH}/a", tags={"a": "2"}))
    assert ml.models.get(name, "1").tags == {"a": "2"}
    with pytest.raises((AssetPathException, Exception), match=r"[Aa]sset paths? cannot be updated|path"):
        ml.models.create_or_update(model(name, "1", path=f"{PATH}/b"))
    assert ml.models.get(name, "1").path.endswith("/models/a")


def test_an_archived_version_is_hidden_until_it_is_restored(ml: MLClient, unique: Unique) -> None:
    name = unique("archived")
    for version in ("1", "2"):
        ml.models.create_or_update(model(name, version))
    ml.models.archive(name, version="2")
    assert [m.version for m in ml.models.list(name=name)] == ["1"]
    assert ml.models.get(name, label="latest").version == "1"
    assert {m.version for m in ml.models.list(name=name, list_view_type="All")} == {"1", "2"}
    ml.models.restore(name, version="2")
    assert ml.models.get(name, label="latest").version == "2"


def test_an_archived_name_is_hidden(ml: MLClient, unique: Unique) -> None:
    name = unique("retired")
    ml.models.create_or_update(model(name, "1"))
    assert name in [m.name for m in ml.models.list()]
    ml.models.archive(name)
    assert name not in [m.name for m in ml.models.list()]


def test_what_does_not_exist_is_not_found(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        ml.models.get("nothing", version="1")
    with pytest.raises(Exception, match="nothing"):
        ml.models.get("nothing", label="latest")
    assert list(ml.models.list(name="nothing")) == []


def test_a_new_model_is_announced_once(stack: RunningStack, ml: MLClient, unique: Unique) -> None:
    name = unique("announced")
    ml.models.create_or_update(model(name, "1", tags={"iou": "0.9"}))
    ml.models.create_or_update(model(name, "1", tags={"iou": "0.95"}))
    (event,) = stack.events("Microsoft.MachineLearningServices.ModelRegistered", f"models/{name}:1")
    assert event["data"]["ModelTags"] == {"iou": "0.9"}
    assert event["topic"].endswith(f"/workspaces/{stack.config.workspace_name}")


def test_data_assets_keep_their_type_and_path(ml: MLClient, unique: Unique) -> None:
    name = unique("data")
    created = ml.data.create_or_update(
        Data(name=name, version="1", type="mltable", path=f"{PATH}/table", tags={"n": "3"})
    )
    found = ml.data.get(name, label="latest")
    assert (found.id, found.type, found.tags) == (created.id, "mltable", {"n": "3"})
    assert found.path.endswith("/paths/models/table")


def test_a_local_folder_is_uploaded_to_the_default_datastore(
    ml: MLClient, default_container: ContainerClient, tmp_path: Path, unique: Unique
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "labels.json").write_text("[]")
    created = ml.models.create_or_update(model(unique("local"), path=str(tmp_path / "model")))
    path = str(created.path).partition("/paths/")[2]
    assert default_container.download_blob(f"{path.rstrip('/')}/labels.json").readall() == b"[]"


def test_an_environment_version_cannot_be_redefined(ml: MLClient, unique: Unique) -> None:
    name = unique("env")
    for _ in range(2):
        ml.environments.create_or_update(Environment(name=name, version="1", image="mcr.microsoft.com/a:1"))
    with pytest.raises(ResourceExistsError, match="cannot be changed"):
        ml.environments.create_or_update(Environment(name=name, version="1", image="mcr.microsoft.com/b:1"))
    assert ml.environments.get(name, "1").image == "mcr.microsoft.com/a:1"


def test_a_named_component_gets_versions_and_can_be_archived(ml: MLClient, unique: Unique) -> None:
    name = unique("component").replace("-", "_")

    def component(command_line: str) -> CommandComponent:
        return CommandComponent(name=name, command=command_line, environment="azureml:nodes:1")

    ml.environments.create_or_update(Environment(name="nodes", version="1", image="mcr.microsoft.com/azureml/nodes:1"))
    first = ml.components.create_or_update(component("echo 1"), version="1")
    second = ml.components.create_or_update(component("echo 2"), version="2")
    assert (first.version, second.version) == ("1", "2")
    with pytest.raises(ResourceExistsError, match="cannot be changed"):
        ml.components.create_or_update(component("echo 3"), version="2")
    assert ml.components.get(name, label="latest").command == "echo 2"
    assert name in [each.name for each in ml.components.list()]
    ml.components.archive(name, version="2")
    assert ml.components.get(name, label="latest").command == "echo 1"


def test_resources_survive_a_restart(stack: RunningStack, ml: MLClient, config: StackConfig, unique: Unique) -> None:
    name = unique("durable")
    ml.models.create_or_update(model(name, "1"))
    stack.kill_cloud()
    stack.restart_cloud()
    await_true(lambda: ml.models.get(name, "1").version == "1", "model after a restart")
    assert ml.compute.get("gpu-cluster").name == "gpu-cluster"
