"""Mini-batches whose node is lost, or that do not say that they are done, are done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.storage.blob import ContainerClient

from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.pipelines import await_end, children, parallel

Unique = Callable[[str], str]


@pytest.fixture
def lose_nodes(stack: RunningStack) -> Iterator[Callable[..., None]]:
    """Sets a fault at the nodes of a job."""

    def lose(job: str, **fault: Any) -> None:
        stack.admin("PUT", "/faults", json={"value": [{"service": "node", "path": job, **fault}]})

    yield lose
    stack.admin("PUT", "/faults", json={"value": []})


def files_of(ml: MLClient, job: str, container: ContainerClient) -> list[str]:
    (run,) = children(ml, job).values()
    prefix = f"azureml/{run.name}/out/"
    return [blob.name.removeprefix(prefix) for blob in container.list_blobs(name_starts_with=prefix)]


def rows_of(ml: MLClient, job: str, container: ContainerClient) -> list[str]:
    (run,) = children(ml, job).values()
    content = container.download_blob(f"azureml/{run.name}/out/parallel_run_step.txt").readall()
    return sorted(content.decode().split())


LETTERS = [f"{letter}.txt" for letter in "abcde"]


def test_what_a_lost_node_was_at_is_done_again(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique, lose_nodes: Callable[..., None]
) -> None:
    name = unique("lost")
    lose_nodes(name, lost_nodes=1, delay=1)
    # Only a lost node ends the first try at c, which would take an hour.
    ml.jobs.create_or_update(parallel(name, letters, " --slow c", retry={"max_retries": 1, "timeout": 3000}))
    assert await_end(ml, name).status == "Completed"
    assert rows_of(ml, name, default_container) == LETTERS
    attempts = [file for file in files_of(ml, name, default_container) if file.startswith("c.") and "attempt" in file]
    assert len(attempts) == 2


def test_a_try_that_a_lost_node_took_counts(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique, lose_nodes: Callable[..., None]
) -> None:
    name = unique("often-lost")
    lose_nodes(name, lost_nodes=1, delay=1)
    options: dict[str, Any] = {"retry": {"max_retries": 0, "timeout": 3000}, "threshold": -1}
    ml.jobs.create_or_update(parallel(name, letters, " --slow c", **options))
    assert await_end(ml, name).status == "Completed"
    # Two files are a mini-batch; d was in that of c.
    assert rows_of(ml, name, default_container) == ["a.txt", "b.txt", "e.txt"]


def test_a_mini_batch_that_returns_less_than_it_was_given_has_failed(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique
) -> None:
    name = unique("silent")
    ml.jobs.create_or_update(parallel(name, letters, " --silent c"))
    assert await_end(ml, name).status == "Completed"
    assert rows_of(ml, name, default_container) == LETTERS
    name = unique("silent-once")
    ml.jobs.create_or_update(parallel(name, letters, " --silent c", retry={"max_retries": 0, "timeout": 60}))
    assert await_end(ml, name).status == "Failed"
