"""Pipeline jobs: submission, nodes, outputs, names, failures, cancellation; through the unmodified SDK."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.ai.ml import Input, MLClient, Output, command
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.pipelines import (
    CODE,
    await_end,
    children,
    environment,
    one_node,
    parallel,
    read_json,
    single,
    two_nodes,
)
from tests.contract.cloud.recorder import await_true

Unique = Callable[[str], str]


def names_below(container: ContainerClient, prefix: str) -> list[str]:
    return [blob.name.removeprefix(prefix) for blob in container.list_blobs(name_starts_with=prefix)]


def test_a_pipeline_runs_its_nodes_in_order_and_uploads_their_outputs(
    ml: MLClient, letters: str, blobs: BlobServiceClient, unique: Unique
) -> None:
    name = unique("two")
    job = ml.jobs.create_or_update(two_nodes(name, letters))
    assert job.status in ("Queued", "Running")
    done = await_end(ml, name)
    assert done.status == "Completed"
    runs = children(ml, name)
    assert [run.status for run in runs.values()] == ["Completed", "Completed"]

    uri = done.outputs["report"].path
    assert uri.endswith(f"/paths/azureml/{runs['second'].name}/report/")
    container = {each.name: each.container_name for each in ml.datastores.list() if hasattr(each, "container_name")}
    report = read_json(blobs, uri, "report.json", container.__getitem__)
    assert report["text"] == "second"
    assert list(report["files"]) == ["report.json"]
    artifacts = blobs.get_container_client("azureml")
    log = f"ExperimentRun/dcid.{runs['first'].name}/user_logs/std_log.txt"
    assert artifacts.download_blob(log).readall() == b"given first\n"


def test_a_node_knows_its_run_and_no_secrets_of_others(
    ml: MLClient, letters: str, default_container: ContainerClient, stack: RunningStack, unique: Unique
) -> None:
    name = unique("environment")
    ml.jobs.create_or_update(one_node(name, letters, environment_variables={"COLOUR": "green"}))
    await_end(ml, name)
    (run,) = children(ml, name).values()
    uri = f"azureml://datastores/workspaceblobstore/paths/azureml/{run.name}/report/"
    report = read_json(_service(default_container), uri, "report.json", lambda _: default_container.container_name)
    assert report["files"] == {f"{letter}.txt": letter for letter in "abcde"}
    seen = report["environment"]
    assert seen["AZUREML_RUN_ID"] == run.name
    assert seen["AZUREML_ROOT_RUN_ID"] == name
    assert seen["AZUREML_EXPERIMENT_NAME"] == "contract"
    assert seen["COLOUR"] == "green"
    assert {"MSI_ENDPOINT", "MSI_SECRET", "ARM_CLOUD_METADATA_URL", "REQUESTS_CA_BUNDLE"} <= seen.keys()
    assert stack.config.identity_header not in seen.values()
    assert "IDENTITY_HEADER" not in seen


def _service(container: ContainerClient) -> BlobServiceClient:
    base = container.url.rsplit("/", 1)[0]
    return BlobServiceClient(base, credential=container.credential)


def test_a_node_signs_in_with_its_own_identity(ml: MLClient, letters: str, unique: Unique) -> None:
    name, model = unique("identity"), unique("made-by-node")
    component = command(
        name="use_sdk",
        inputs={"model": model},
        command="python use_sdk.py ${{inputs.model}}",
        code=str(CODE),
        environment=environment(),
    )

    ml.jobs.create_or_update(single(component, name, model=model))
    assert await_end(ml, name).status == "Completed"
    assert ml.models.get(model, label="latest").version == "1"


def test_an_output_goes_to_the_place_it_names(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique
) -> None:
    name = unique("placed")
    job = one_node(name, letters)
    job.outputs.report = Output(
        type="uri_folder", path=f"azureml://datastores/workspaceblobstore/paths/chosen/{name}/${{{{name}}}}/"
    )
    ml.jobs.create_or_update(job)
    await_end(ml, name)
    assert names_below(default_container, f"chosen/{name}/{name}/") == ["report.json"]


def test_inputs_may_be_files_uris_and_blob_urls(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique
) -> None:
    store = "azureml://datastores/workspaceblobstore/paths"
    for reference in (f"{store}/letters/", f"{default_container.url}/letters"):
        name = unique("uri")
        ml.jobs.create_or_update(one_node(name, reference))
        assert await_end(ml, name).status == "Completed"


def test_the_same_job_again_is_the_same_job(ml: MLClient, letters: str, unique: Unique) -> None:
    name = unique("same")
    ml.jobs.create_or_update(one_node(name, letters))
    again = ml.jobs.create_or_update(one_node(name, letters))
    assert again.name == name
    await_end(ml, name)
    assert ml.jobs.create_or_update(one_node(name, letters)).status == "Completed"
    with pytest.raises(HttpResponseError, match=f"'{name}' already exists"):
        ml.jobs.create_or_update(one_node(name, letters, text="another"))


def test_a_job_on_an_unknown_cluster_is_refused(ml: MLClient, letters: str, unique: Unique) -> None:
    with pytest.raises((HttpResponseError, ResourceNotFoundError), match="nowhere"):
        ml.jobs.create_or_update(one_node(unique("nowhere"), letters, compute="nowhere"))


def test_a_missing_job_is_not_found(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        ml.jobs.get("no-such-job")


def test_jobs_are_listed_newest_first_until_archived(ml: MLClient, letters: str, unique: Unique) -> None:
    names = [unique("listed") for _ in range(2)]
    for name in names:
        ml.jobs.create_or_update(one_node(name, letters))
    listed = [job.name for job in ml.jobs.list()]
    assert [name for name in listed if name in names] == names[::-1]
    ml.jobs.archive(names[0])
    assert names[0] not in [job.name for job in ml.jobs.list()]
    ml.jobs.restore(names[0])
    assert names[0] in [job.name for job in ml.jobs.list()]
    for name in names:
        await_end(ml, name)


def test_tags_can_be_changed_after_submission(ml: MLClient, letters: str, unique: Unique) -> None:
    name = unique("tagged")
    job = one_node(name, letters)
    job.tags = {"kind": "scoring"}
    ml.jobs.create_or_update(job)
    ml.jobs.update(name, tags={"batch": "7"}, display_name="batch seven")
    changed = await_end(ml, name)
    assert changed.tags == {"kind": "scoring", "batch": "7"}
    assert changed.display_name == "batch seven"


def test_a_failed_node_fails_the_job_with_the_end_of_its_log(
    stack: RunningStack, ml: MLClient, letters: str, unique: Unique
) -> None:
    name = unique("failing")
    ml.jobs.create_or_update(two_nodes(name, letters, first_arguments=" --exit-code 3"))
    failed = await_end(ml, name)
    assert failed.status == "Failed"
    assert "exit code 3" in failed.properties["error"]
    assert "giving up on purpose" in failed.properties["error"]
    assert {node: run.status for node, run in children(ml, name).items()} == {"first": "Failed", "second": "Canceled"}
    types = {
        e["eventType"].rsplit(".", 1)[1] for e in stack.events("Microsoft.MachineLearningServices.RunCompleted", name)
    }
    assert types == set()


def test_every_change_of_status_is_an_event(stack: RunningStack, ml: MLClient, letters: str, unique: Unique) -> None:
    name = unique("events")
    job = one_node(name, letters)
    job.tags = {"kind": "scoring"}
    ml.jobs.create_or_update(job)
    await_end(ml, name)
    changes = stack.events("Microsoft.MachineLearningServices.RunStatusChanged", f"/runs/{name}")
    assert [e["data"]["runStatus"] for e in changes] == ["Queued", "Running", "Completed"]
    (completed,) = stack.events("Microsoft.MachineLearningServices.RunCompleted", f"/runs/{name}")
    data = completed["data"]
    assert completed["subject"] == f"experiments/{data['experimentId']}/runs/{name}"
    assert (data["experimentName"], data["runId"], data["runType"]) == ("contract", name, "azureml.PipelineRun")
    assert data["runTags"] == {"kind": "scoring"}
    (run,) = children(ml, name).values()
    assert stack.events("Microsoft.MachineLearningServices.RunCompleted", f"/runs/{run.name}")


def test_a_cancelled_job_ends_its_processes(
    stack: RunningStack, ml: MLClient, letters: str, tmp_path: Path, unique: Unique
) -> None:
    name, gate = unique("cancelled"), tmp_path / "gate"
    ml.jobs.create_or_update(one_node(name, letters, arguments=f" --wait-for {gate}"))
    await_true(gate.with_suffix(".started").exists, "started node")
    (run,) = children(ml, name).values()
    assert run.status == "Running"
    assert "given hello" in stack.admin("GET", f"/runs/{run.name}/log").text
    ml.jobs.begin_cancel(name).result()
    assert ml.jobs.get(name).status == "Canceled"
    assert [run.status for run in children(ml, name).values()] == ["Canceled"]
    assert not _processes_with(str(gate))


def _processes_with(text: str) -> list[str]:
    """The command lines of living processes that contain `text`."""
    lines = []
    for entry in Path("/proc").iterdir() if Path("/proc").exists() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text in line:
                lines.append(line)
    return lines


def test_nodes_wait_for_a_free_node_of_the_cluster(ml: MLClient, letters: str, tmp_path: Path, unique: Unique) -> None:
    jobs = {unique("full"): tmp_path / f"gate{number}" for number in range(3)}
    for name, gate in jobs.items():
        ml.jobs.create_or_update(one_node(name, letters, arguments=f" --wait-for {gate}"))

    def started() -> list[str]:
        return [name for name, gate in jobs.items() if gate.with_suffix(".started").exists()]

    size = min(2, os.cpu_count() or 1)
    await_true(lambda: len(started()) == size, "nodes at work")
    waiting = [name for name in jobs if name not in started()]
    assert [ml.jobs.get(name).status for name in waiting] == ["Queued"] * (3 - size)
    for gate in jobs.values():
        gate.touch()
    assert {await_end(ml, name).status for name in jobs} == {"Completed"}


def test_a_parallel_node_gives_every_file_to_run_once(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique
) -> None:
    name = unique("parallel")
    ml.jobs.create_or_update(parallel(name, letters))
    done = await_end(ml, name)
    assert done.status == "Completed", done.properties
    (run,) = children(ml, name).values()
    prefix = f"azureml/{run.name}/out/"
    files = [file for file in names_below(default_container, prefix) if not file.endswith(".attempt")]
    assert files == [*(f"{letter}.txt" for letter in "abcde"), "parallel_run_step.txt"]
    assert default_container.download_blob(f"{prefix}c.txt").readall() == b"C"
    rows = default_container.download_blob(f"{prefix}parallel_run_step.txt").readall().decode().split()
    assert sorted(rows) == [f"{letter}.txt" for letter in "abcde"]


def test_a_mini_batch_that_takes_too_long_is_tried_again(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique
) -> None:
    name = unique("slow")
    ml.jobs.create_or_update(parallel(name, letters, " --slow c", retry={"max_retries": 1, "timeout": 1}))
    assert await_end(ml, name).status == "Completed"
    (run,) = children(ml, name).values()
    assert "c.txt" in names_below(default_container, f"azureml/{run.name}/out/")


@pytest.mark.parametrize(("threshold", "status"), [(0, "Failed"), (-1, "Completed")])
def test_failed_mini_batches_count_against_the_threshold(
    ml: MLClient, letters: str, default_container: ContainerClient, unique: Unique, threshold: int, status: str
) -> None:
    name = unique("threshold")
    ml.jobs.create_or_update(parallel(name, letters, " --crash c", threshold=threshold))
    assert await_end(ml, name).status == status
    (run,) = children(ml, name).values()
    files = names_below(default_container, f"azureml/{run.name}/out/")
    assert "c.txt" not in files
    assert len([file for file in files if file.startswith("c.") and file.endswith(".attempt")]) == 2


def test_an_input_without_data_fails_the_job_and_says_so(ml: MLClient, unique: Unique) -> None:
    name = unique("empty")
    ml.jobs.create_or_update(one_node(name, "azureml://datastores/workspaceblobstore/paths/nothing-here/"))
    assert "there is nothing at" in await_end(ml, name).properties["error"]


def test_what_a_job_wrote_can_be_downloaded(ml: MLClient, letters: str, tmp_path: Path, unique: Unique) -> None:
    name = unique("download")
    ml.jobs.create_or_update(one_node(name, letters))
    await_end(ml, name)
    (run,) = children(ml, name).values()
    ml.jobs.download(run.name, download_path=tmp_path, all=True)
    assert (tmp_path / "artifacts" / "user_logs" / "std_log.txt").read_text() == "given hello\n"
    assert (tmp_path / "named-outputs" / "report" / "report.json").exists()


def test_a_node_can_be_made_to_fail(stack: RunningStack, ml: MLClient, letters: str, unique: Unique) -> None:
    name = unique("faulty")
    rule = {"service": "compute", "operation": "first", "path": name, "exit_code": 9}
    stack.admin("PUT", "/faults", json={"value": [rule]})
    try:
        ml.jobs.create_or_update(one_node(name, letters))
        assert "exit code 9" in await_end(ml, name).properties["error"]
    finally:
        stack.admin("PUT", "/faults", json={"value": []})


def test_a_node_can_be_made_to_work_on_nothing_until_its_job_is_canceled(
    stack: RunningStack, ml: MLClient, letters: str, unique: Unique
) -> None:
    name = unique("idle")
    stack.admin("PUT", "/faults", json={"value": [{"service": "compute", "path": name, "delay": 600, "exit_code": 0}]})
    try:
        ml.jobs.create_or_update(one_node(name, letters))
        await_true(lambda: [run.status for run in children(ml, name).values()] == ["Running"], "running node")
        ml.jobs.begin_cancel(name).result()
        assert ml.jobs.get(name).status == "Canceled"
    finally:
        stack.admin("PUT", "/faults", json={"value": []})


def test_node_types_that_are_not_run_here_are_refused_at_submission(ml: MLClient, letters: str, unique: Unique) -> None:
    job = command(
        name=unique("standalone"),
        command="true",
        compute="gpu-cluster",
        environment=environment(),
        inputs={"data": Input(type="uri_folder", path=letters)},
    )
    with pytest.raises(HttpResponseError, match="runs pipeline jobs"):
        ml.jobs.create_or_update(job)
