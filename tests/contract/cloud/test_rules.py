"""The rules of the local cloud that need no server: filters, plans, bindings, operations, clusters, certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from local.cloud.__main__ import coverage
from local.cloud.certificate import ensure_certificate
from local.cloud.errors import BadRequestError, NotImplementedByLocalCloudError, UserError
from local.cloud.eventgrid import filters
from local.cloud.jobs.bindings import NodeOutput, ParentInput, fill
from local.cloud.jobs.cluster import Cluster
from local.cloud.jobs.plan import plan_pipeline
from local.cloud.storage.operations import classify
from local.config import StackConfig

EVENT = {
    "eventType": "Microsoft.Storage.BlobCreated",
    "subject": "/blobServices/default/containers/c/blobs/Photo.JPG",
    "data": {"api": "PutBlob", "contentLength": 10, "flag": True, "tags": ["a", "b"], "nothing": None},
}


def advanced(operator: str, key: str, *values: Any, **options: Any) -> dict[str, Any]:
    single = operator in ("NumberLessThan", "NumberGreaterThanOrEquals", "BoolEquals")
    given = {"value": values[0]} if single else {"values": list(values)} if values else {}
    return {"advancedFilters": [{"operatorType": operator, "key": key, **given}], **options}


@pytest.mark.parametrize(
    ("subscription_filter", "expected"),
    [
        ({}, True),
        ({"includedEventTypes": ["Microsoft.Storage.BlobDeleted"]}, False),
        ({"subjectEndsWith": ".jpg"}, True),
        ({"subjectEndsWith": ".jpg", "isSubjectCaseSensitive": True}, False),
        ({"subjectBeginsWith": "/blobServices/default/containers/c2/"}, False),
        (advanced("StringIn", "data.api", "putblob"), True),
        (advanced("StringNotIn", "data.api", "PutBlob"), False),
        (advanced("StringNotIn", "data.missing", "x"), True),
        (advanced("StringIn", "data.missing", "x"), False),
        (advanced("StringBeginsWith", "data.api", "x", "Put"), True),
        (advanced("StringNotEndsWith", "data.api", "Blob"), False),
        (advanced("StringContains", "Subject", "photo"), True),
        (advanced("NumberLessThan", "data.contentLength", 10), False),
        (advanced("NumberGreaterThanOrEquals", "data.contentLength", 10), True),
        (advanced("NumberIn", "data.contentLength", 9, 10), True),
        (advanced("NumberInRange", "data.contentLength", [1, 5], [8, 12]), True),
        (advanced("NumberNotInRange", "data.contentLength", [8, 12]), False),
        (advanced("NumberIn", "data.flag", 1), False),
        (advanced("BoolEquals", "data.flag", True), True),
        (advanced("IsNullOrUndefined", "data.nothing"), True),
        (advanced("IsNotNull", "data.nothing"), False),
        (advanced("StringIn", "data.tags", "b"), False),
        (advanced("StringIn", "data.tags", "b", enableAdvancedFilteringOnArrays=True), True),
    ],
)
def test_a_filter_lets_the_right_events_pass(subscription_filter: dict[str, Any], expected: bool) -> None:
    filters.check(subscription_filter)
    assert filters.matches(subscription_filter, EVENT) is expected


@pytest.mark.parametrize(
    "advanced_filter",
    [
        {"operatorType": "Resembles", "key": "data.api", "values": ["x"]},
        {"operatorType": "StringIn", "key": "data.api"},
    ],
)
def test_a_filter_that_is_not_understood_is_refused(advanced_filter: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        filters.check({"advancedFilters": [advanced_filter]})


@pytest.mark.parametrize(
    ("service", "method", "path", "headers", "operation"),
    [
        ("blob", "PUT", "/a/c/b", {}, "PutBlob"),
        ("blob", "PUT", "/a/c/b", {"x-ms-copy-source": "u"}, "CopyBlob"),
        ("blob", "PUT", "/a/c/b?comp=block&blockid=x", {}, "PutBlock"),
        ("blob", "PUT", "/a/c/b?comp=blocklist", {}, "PutBlockList"),
        ("blob", "GET", "/a/c?restype=container&comp=list", {}, "ListBlobs"),
        ("blob", "PUT", "/a/c?restype=container", {}, "CreateContainer"),
        ("blob", "HEAD", "/a/c/deep/b", {}, "GetBlobProperties"),
        ("queue", "GET", "/a/q/messages?numofmessages=16", {}, "GetMessages"),
        ("queue", "GET", "/a/q/messages?peekonly=true", {}, "PeekMessages"),
        ("queue", "DELETE", "/a/q/messages/id?popreceipt=x", {}, "DeleteMessage"),
        ("table", "POST", "/a/$batch", {}, "EntityGroupTransaction"),
        ("table", "GET", "/a/t()", {}, "QueryEntities"),
        ("table", "GET", "/a/t(PartitionKey='p',RowKey='r')", {}, "GetEntity"),
        ("table", "PATCH", "/a/t(PartitionKey='p',RowKey='r')", {"if-match": "*"}, "MergeEntity"),
        ("table", "PUT", "/a/t(PartitionKey='p',RowKey='r')", {}, "InsertOrReplaceEntity"),
    ],
)
def test_a_storage_request_is_named_by_its_operation(
    service: str, method: str, path: str, headers: dict[str, str], operation: str
) -> None:
    assert classify(service, method, path, headers).operation == operation


def test_placeholders_are_filled_and_optional_parts_fall_away() -> None:
    line = "run --a ${{inputs.a}} $[[--b ${{inputs.b}}]] --out ${{ outputs.out }}"
    assert fill(line, {"a": "1"}, {"out": "/o"}) == "run --a 1  --out /o"
    assert fill(line, {"a": "1", "b": "2"}, {"out": "/o"}) == "run --a 1 --b 2 --out /o"
    with pytest.raises(UserError, match=r"inputs\.a"):
        fill(line, {}, {"out": "/o"})


SPEC = {"command": "x", "inputs": {"data": {"type": "uri_folder"}}, "outputs": {"out": {"type": "uri_folder"}}}


def pipeline(**jobs: dict[str, Any]) -> dict[str, Any]:
    bodies = {name: {"type": "command", "component": SPEC, **body} for name, body in jobs.items()}
    return {
        "jobs": bodies,
        "inputs": {"data": {"jobInputType": "uri_folder", "uri": "u"}},
        "outputs": {"final": {"jobOutputType": "uri_folder"}},
        "settings": {"default_compute": "c"},
    }


def bound(text: str) -> dict[str, Any]:
    return {"inputs": {"data": {"value": text, "job_input_type": "literal"}}}


def no_component(reference: str) -> dict[str, Any]:
    raise AssertionError(reference)


def test_a_plan_orders_nodes_by_what_they_need() -> None:
    last = {**bound("${{parent.jobs.first.outputs.out}}"), "outputs": {"out": {"value": "${{parent.outputs.final}}"}}}
    plan = plan_pipeline(pipeline(last=last, first=bound("${{parent.inputs.data}}")), no_component)
    assert [node.name for node in plan.nodes] == ["first", "last"]
    assert plan.node("first").inputs["data"].value == ParentInput("data")
    assert plan.node("last").inputs["data"].value == NodeOutput("first", "out")
    assert plan.source_of("final") == ("last", "out")


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ({"a": bound("${{parent.inputs.nothing}}")}, "not an input of the pipeline"),
        ({"a": bound("${{parent.jobs.b.outputs.out}}")}, "does not exist"),
        ({"a": {}}, "no value for its input 'data'"),
        (
            {"a": bound("${{parent.jobs.b.outputs.out}}"), "b": bound("${{parent.jobs.a.outputs.out}}")},
            "wait for each other",
        ),
        ({}, "no jobs"),
    ],
)
def test_a_pipeline_that_cannot_run_is_refused(jobs: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        plan_pipeline(pipeline(**jobs), no_component)


def test_a_node_type_that_is_not_run_here_is_named() -> None:
    with pytest.raises(NotImplementedByLocalCloudError, match="'spark'"):
        plan_pipeline(pipeline(a={"type": "spark"}), no_component)


def test_a_cluster_gives_its_nodes_in_the_order_of_asking() -> None:
    async def run() -> list[int]:
        cluster, order = Cluster(lambda: 1), []

        async def work(number: int) -> None:
            async with cluster.node():
                order.append(number)
                await asyncio.sleep(0)

        waiting = [asyncio.create_task(work(number)) for number in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return order

    assert asyncio.run(run()) == [0, 2, 3]


def test_the_certificate_is_made_once_and_trusted_by_itself(tmp_path: Path) -> None:
    config = StackConfig(tmp_path, {}, "x")
    ensure_certificate(config)
    first = config.certificate.read_bytes()
    ensure_certificate(config)
    assert config.certificate.read_bytes() == first
    assert config.private_key.stat().st_mode & 0o077 == 0
    assert ssl.create_default_context(cafile=str(config.certificate)).get_ca_certs()
    config.certificate.write_text("damaged")
    ensure_certificate(config)
    assert b"BEGIN CERTIFICATE" in config.certificate.read_bytes()


def test_the_coverage_table_names_every_operation() -> None:
    table = asyncio.run(coverage())
    assert "`PUT /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventGrid/" in table
    assert "azure-ai-ml jobs.create_or_update" in table
