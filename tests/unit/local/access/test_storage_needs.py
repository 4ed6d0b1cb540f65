"""What requests to storage need: learn.microsoft.com, "Permissions for calling data operations"."""

from __future__ import annotations

import pytest

from local.cloud.access.storage import needs
from local.cloud.storage.operations import classify

BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
QUEUES = "Microsoft.Storage/storageAccounts/queueServices"
TABLES = "Microsoft.Storage/storageAccounts/tableServices"
MESSAGES, ENTITIES = f"{QUEUES}/queues/messages", f"{TABLES}/tables/entities"


@pytest.mark.parametrize(
    ("request_line", "any_of"),
    [
        ("blob GET /a/?comp=list", [f"{BLOBS}/containers/read"]),
        ("blob GET /a/?restype=service&comp=properties", [f"{BLOBS}/read"]),
        ("blob GET /a/?restype=account&comp=properties", [f"{BLOBS}/getInfo/action"]),
        ("blob POST /a/?restype=service&comp=userdelegationkey", [f"{BLOBS}/generateUserDelegationKey/action"]),
        ("blob PUT /a/c?restype=container", [f"{BLOBS}/containers/write"]),
        ("blob HEAD /a/c?restype=container", [f"{BLOBS}/containers/read"]),
        ("blob DELETE /a/c?restype=container", [f"{BLOBS}/containers/delete"]),
        ("blob PUT /a/c?restype=container&comp=acl", [f"{BLOBS}/containers/setAcl/action"]),
        ("blob PUT /a/c?restype=container&comp=lease", [f"{BLOBS}/containers/write"]),
        ("blob GET /a/c?restype=container&comp=list", [f"{BLOBS}/containers/blobs/read"]),
        ("blob GET /a/c/b", [f"{BLOBS}/containers/blobs/read"]),
        ("blob HEAD /a/c/b", [f"{BLOBS}/containers/blobs/read"]),
        ("blob PUT /a/c/b", [f"{BLOBS}/containers/blobs/write"]),
        ("blob PUT /a/c/b?comp=block&blockid=1", [f"{BLOBS}/containers/blobs/write"]),
        (
            "blob PUT /a/c/b?comp=appendblock",
            [f"{BLOBS}/containers/blobs/write", f"{BLOBS}/containers/blobs/add/action"],
        ),
        ("blob PUT /a/c/b?comp=tags", [f"{BLOBS}/containers/blobs/tags/write"]),
        ("blob GET /a/c/b?comp=tags", [f"{BLOBS}/containers/blobs/tags/read"]),
        ("blob POST /a/c/b?comp=query", [f"{BLOBS}/containers/blobs/read"]),
        ("blob DELETE /a/c/b", [f"{BLOBS}/containers/blobs/delete"]),
        ("blob GET /a/c?restype=container&comp=blobs&where=x", [f"{BLOBS}/containers/blobs/filter/action"]),
        ("blob POST /a/?comp=batch", [f"{BLOBS}/containers/write"]),
        ("queue GET /a?comp=list", [f"{QUEUES}/queues/read"]),
        ("queue PUT /a/q", [f"{QUEUES}/queues/write"]),
        ("queue GET /a/q?comp=metadata", [f"{QUEUES}/queues/read"]),
        ("queue DELETE /a/q", [f"{QUEUES}/queues/delete"]),
        ("queue POST /a/q/messages", [f"{MESSAGES}/write", f"{MESSAGES}/add/action"]),
        ("queue GET /a/q/messages", [f"{MESSAGES}/process/action", f"{MESSAGES}/delete + {MESSAGES}/read"]),
        ("queue GET /a/q/messages?peekonly=true", [f"{MESSAGES}/read"]),
        ("queue DELETE /a/q/messages/m", [f"{MESSAGES}/process/action", f"{MESSAGES}/delete"]),
        ("queue DELETE /a/q/messages", [f"{MESSAGES}/delete"]),
        ("queue PUT /a/q/messages/m", [f"{MESSAGES}/write"]),
        ("table GET /a/Tables", [f"{TABLES}/tables/read"]),
        ("table POST /a/Tables", [f"{TABLES}/tables/write"]),
        ("table DELETE /a/Tables('t')", [f"{TABLES}/tables/delete"]),
        ("table GET /a/t()", [f"{ENTITIES}/read"]),
        ("table POST /a/t", [f"{ENTITIES}/write", f"{ENTITIES}/add/action"]),
        (
            "table PATCH /a/t(PartitionKey='p',RowKey='r')",
            [f"{ENTITIES}/write", f"{ENTITIES}/add/action + {ENTITIES}/update/action"],
        ),
        ("table DELETE /a/t(PartitionKey='p',RowKey='r')", [f"{ENTITIES}/delete"]),
        ("table POST /a/$batch", [f"{ENTITIES}/write"]),
    ],
)
def test_a_request_needs_the_documented_actions(request_line: str, any_of: list[str]) -> None:
    service, method, path = request_line.split(" ")
    found = needs(classify(service, method, path, {}), method)
    assert [" + ".join(each) for each in found] == any_of


def test_a_copy_also_reads_its_source() -> None:
    request = classify("blob", "PUT", "/a/c/b", {"x-ms-copy-source": "https://h/a/c/d"})
    assert needs(request, "PUT") == ((f"{BLOBS}/containers/blobs/write", f"{BLOBS}/containers/blobs/read"),)
