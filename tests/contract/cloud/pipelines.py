"""Pipelines of the contract tests, built with the unmodified SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azure.ai.ml import Input, MLClient, Output, command, dsl
from azure.ai.ml.entities import Environment, Job
from azure.ai.ml.parallel import RunFunction, parallel_run_function
from azure.storage.blob import BlobServiceClient

from tests.contract.cloud.recorder import await_true

CODE = Path(__file__).parent / "node_code"
TERMINAL = ("Completed", "Failed", "Canceled")


def environment() -> Environment:
    return Environment(name="nodes", version="1", image="mcr.microsoft.com/azureml/nodes:1")


def show(**options: Any) -> Any:
    """A component that writes what it was given to its output `report`."""
    return command(
        name="show",
        inputs={"data": Input(type="uri_folder"), "text": "none"},
        outputs={"report": Output(type="uri_folder", **options.pop("output", {}))},
        command="python show.py --data ${{inputs.data}} --text '${{inputs.text}}' --report ${{outputs.report}}"
        + options.pop("arguments", ""),
        code=str(CODE),
        environment=environment(),
        **options,
    )


def one_node(name: str, data: str, text: str = "hello", compute: str = "gpu-cluster", **options: Any) -> Any:
    """A pipeline of one node, `first`."""
    component = show(**options)

    @dsl.pipeline(name="one", default_compute=compute)
    def build(data):  # type: ignore[no-untyped-def] # the SDK reads annotations and knows few
        first = component(data=data, text=text)
        return {"report": first.outputs.report}

    job = build(Input(type="uri_folder", path=data))
    job.name, job.experiment_name = name, "contract"
    return job


def single(component: Any, name: str, **inputs: Any) -> Any:
    """A pipeline of one component without data."""

    @dsl.pipeline(name="single", default_compute="gpu-cluster")
    def build():  # type: ignore[no-untyped-def] # as above
        component(**inputs)

    job = build()
    job.name, job.experiment_name = name, "contract"
    return job


def two_nodes(name: str, data: str, *, first_arguments: str = "", **options: Any) -> Any:
    """`second` reads what `first` wrote."""
    components = show(arguments=first_arguments), show(**options)

    @dsl.pipeline(name="two", default_compute="gpu-cluster")
    def build(data):  # type: ignore[no-untyped-def] # the SDK reads annotations and knows few
        first = components[0](data=data, text="first")
        second = components[1](data=first.outputs.report, text="second")
        return {"report": second.outputs.report}

    job = build(Input(type="uri_folder", path=data))
    job.name, job.experiment_name = name, "contract"
    return job


def parallel(name: str, data: str, arguments: str = "", **options: Any) -> Any:
    """A parallel node that copies letters in capitals, two files at a time."""
    step = parallel_run_function(
        name="copy",
        inputs={"letters": Input(type="uri_folder", mode="ro_mount")},
        outputs={"out": Output(type="uri_folder", mode="rw_mount")},
        input_data="${{inputs.letters}}",
        instance_count=1,
        max_concurrency_per_instance=2,
        mini_batch_size="2",
        mini_batch_error_threshold=options.pop("threshold", 0),
        retry_settings=options.pop("retry", {"max_retries": 1, "timeout": 60}),
        logging_level="INFO",
        task=RunFunction(
            code=str(CODE),
            entry_script="copy_letters.py",
            environment=environment(),
            append_row_to="${{outputs.out}}",
            program_arguments="--out ${{outputs.out}}" + arguments,
        ),
    )

    @dsl.pipeline(name="parallel", default_compute="gpu-cluster")
    def build(letters):  # type: ignore[no-untyped-def] # as above
        node = step(letters=letters)
        node.compute = "gpu-cluster"
        return {"out": node.outputs.out}

    job = build(Input(type="uri_folder", path=data))
    job.name, job.experiment_name = name, "contract"
    return job


def await_end(ml: MLClient, name: str, seconds: float = 60) -> Job:
    """The job, once it has ended."""
    # At each look the SDK takes the pipeline apart, which costs more than some of these jobs.
    await_true(lambda: ml.jobs.get(name).status in TERMINAL, f"end of job {name}", seconds, every=0.3)
    return ml.jobs.get(name)


def children(ml: MLClient, name: str) -> dict[str, Any]:
    """The child runs of a job by their nodes' names."""
    return {child.display_name: child for child in ml.jobs.list(parent_job_name=name)}


def read_json(blobs: BlobServiceClient, uri: str, file: str, container_of: Callable[[str], str]) -> Any:
    """A JSON file below an `azureml://datastores/…` URI."""
    store, _, path = uri.partition("/datastores/")[2].partition("/paths/")
    blob = blobs.get_blob_client(container_of(store), f"{path.rstrip('/')}/{file}")
    return json.loads(blob.download_blob().readall())
