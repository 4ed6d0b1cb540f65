"""Managed identity, and what it opens."""

from __future__ import annotations

import base64
import json

import pytest
import requests
from azure.ai.ml import MLClient
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.cloud.identity import OWNER_CLIENT_ID, IdentityProvider, Principal
from local.config import StackConfig
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.recorder import Recorder


def get(config: StackConfig, path: str, **headers: str) -> requests.Response:
    return requests.get(f"{config.arm_url}{path}", headers=headers, verify=str(config.certificate), timeout=10)


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_the_app_service_endpoint_gives_a_token_for_the_resource_asked_for(
    config: StackConfig, credential: DefaultAzureCredential
) -> None:
    claims = claims_of(credential.get_token("https://storage.azure.com/.default").token)
    assert claims["aud"] == "https://storage.azure.com"
    assert claims["iss"] == f"https://sts.windows.net/{config.tenant_id}/"
    assert {"tid", "oid", "appid", "nbf", "iat", "exp"} <= claims.keys()


def test_the_compute_endpoint_gives_a_node_tokens_of_its_clusters_identities_alone(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = [Principal("cluster", "cluster-oid"), Principal("nodes", "nodes-oid")]
    secret = IdentityProvider(stack.config).compute_secret(identities)
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    monkeypatch.setenv("MSI_ENDPOINT", f"{stack.config.arm_url}/msi/token")
    monkeypatch.setenv("MSI_SECRET", secret)
    scope = "https://storage.azure.com/.default"
    own, other = (ManagedIdentityCredential(client_id=each) for each in (None, "nodes"))
    assert [claims_of(each.get_token(scope).token)["oid"] for each in (own, other)] == ["cluster-oid", "nodes-oid"]
    with pytest.raises(ClientAuthenticationError, match="no identity with the client id 'app'"):
        ManagedIdentityCredential(client_id="app").get_token(scope)


@pytest.mark.parametrize(
    ("header", "secret"),
    [("x-identity-header", "wrong"), ("secret", "wrong"), ("secret", "W1siYXBwIiwiYXBwIl1d.wrong")],
)
def test_a_wrong_secret_gets_no_token(config: StackConfig, header: str, secret: str) -> None:
    response = get(config, "/msi/token?resource=https://storage.azure.com&api-version=2019-08-01", **{header: secret})
    assert response.status_code == 401


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer not-a-token", "Bearer e30.e30.e30"],
    ids=["none", "not a token", "forged"],
)
def test_management_needs_a_token_of_this_cloud(config: StackConfig, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    response = get(config, "/subscriptions/s/resourceGroups/g?api-version=2021-04-01", **headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"]


def test_management_refuses_a_token_for_storage_and_an_expired_one(config: StackConfig) -> None:
    identity = IdentityProvider(config)
    for token, _ in (
        identity.issue("https://storage.azure.com", "client"),
        identity.issue(config.arm_url, "client", lifetime=-1),
    ):
        response = get(
            config, "/subscriptions/s/resourceGroups/g?api-version=2021-04-01", Authorization=f"Bearer {token}"
        )
        assert response.status_code == 401


def test_management_needs_an_api_version(config: StackConfig) -> None:
    token, _ = IdentityProvider(config).issue(config.arm_url, OWNER_CLIENT_ID)
    response = get(config, "/subscriptions/s/resourceGroups/g", Authorization=f"Bearer {token}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "MissingApiVersionParameter")


def test_the_app_and_the_account_are_resources(config: StackConfig, recorder: Recorder) -> None:
    token, _ = IdentityProvider(config).issue(config.arm_url, OWNER_CLIENT_ID)
    group = f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}/providers"
    site = f"{group}/Microsoft.Web/sites/{config.function_app_name}"
    version = "?api-version=2024-04-01"
    bearer = f"Bearer {token}"
    properties = get(config, site + version, Authorization=bearer).json()["properties"]
    assert properties["defaultHostName"] == f"127.0.0.1:{config.ports['functions']}"
    keys = requests.post(
        f"{config.arm_url}{site}/host/default/listKeys{version}",
        headers={"Authorization": bearer},
        verify=str(config.certificate),
        timeout=10,
    ).json()
    assert keys == {
        "masterKey": "m",
        "functionKeys": {"default": "f"},
        "systemKeys": {"blobs_extension": "b", "eventgrid_extension": "e"},
    }
    account = f"{group}/Microsoft.Storage/storageAccounts/{config.account_name}"
    endpoints = get(config, account + version, Authorization=bearer).json()["properties"]["primaryEndpoints"]
    assert endpoints["blob"] == f"{config.storage_url('blob')}/"
    assert get(config, f"{group}/Microsoft.Web/sites/other{version}", Authorization=bearer).status_code == 404


def test_an_unknown_operation_is_refused_by_name(ml: MLClient, config: StackConfig) -> None:
    token, _ = IdentityProvider(config).issue(config.arm_url, OWNER_CLIENT_ID)
    path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
    response = get(config, f"{path}?api-version=2024-07-01", Authorization=f"Bearer {token}")
    assert response.status_code == 501
    assert response.json()["error"]["message"] == (
        f"GET {path} (api-version 2024-07-01): the local cloud does not know this operation"
    )


def test_the_identity_opens_all_three_storage_services(
    config: StackConfig, credential: DefaultAzureCredential, blobs: BlobServiceClient
) -> None:
    blobs.create_container("by-identity")
    with QueueServiceClient(config.storage_url("queue"), credential=credential) as queues:
        queue = queues.create_queue("by-identity")
        queue.send_message("hello")
        assert [message.content for message in queue.receive_messages()] == ["hello"]
    with TableServiceClient(config.storage_url("table"), credential=credential) as tables:
        table = tables.create_table("byidentity")
        table.create_entity({"PartitionKey": "p", "RowKey": "r", "value": 1})
        assert table.get_entity("p", "r")["value"] == 1


def test_admin_needs_its_key(config: StackConfig) -> None:
    assert get(config, "/admin/idle").status_code == 403
