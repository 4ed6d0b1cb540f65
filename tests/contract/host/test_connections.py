"""Connections by name: connection strings, identities, and the settings that are missing."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from local.functions_host.connections import Endpoint, Identity, Sas, SharedKey, resolve_connection
from local.functions_host.errors import FunctionInError
from local.functions_host.storage import Storage

KEY = "AccountName=acc;AccountKey=a2V5"


@pytest.mark.parametrize(
    ("settings", "service", "endpoint"),
    [
        ({"X": KEY}, "blob", Endpoint("https://acc.blob.core.windows.net", SharedKey("acc", "a2V5"))),
        (
            {"AzureWebJobsX": KEY, "X": "ignored"},
            "queue",
            Endpoint("https://acc.queue.core.windows.net", SharedKey("acc", "a2V5")),
        ),
        (
            {"X": f"{KEY};QueueEndpoint=http://127.0.0.1:1/acc/"},
            "queue",
            Endpoint("http://127.0.0.1:1/acc", SharedKey("acc", "a2V5")),
        ),
        (
            {"X": "BlobEndpoint=https://b;SharedAccessSignature=?sv=1&sig=2"},
            "blob",
            Endpoint("https://b", Sas("sv=1&sig=2")),
        ),
        (
            {"X__accountName": "acc", "X__credential": "managedidentity", "X__clientId": "me"},
            "queue",
            Endpoint("https://acc.queue.core.windows.net", Identity(managed=True, client_id="me")),
        ),
        (
            {"X__blobServiceUri": "https://127.0.0.1:1/acc/", "X__queueServiceUri": "https://127.0.0.1:2/acc"},
            "blob",
            Endpoint("https://127.0.0.1:1/acc", Identity()),
        ),
        (
            {"X__serviceUri": "https://b", "X__tenantId": "t", "X__clientId": "c", "X__clientSecret": "s"},
            "blob",
            Endpoint("https://b", Identity(tenant_id="t", client_id="c", client_secret="s")),
        ),
    ],
)
def test_a_connection_resolves(settings: dict[str, str], service: str, endpoint: Endpoint) -> None:
    assert resolve_connection("X", service, settings) == endpoint


def test_the_development_storage_is_the_emulator() -> None:
    endpoint = resolve_connection("X", "queue", {"X": "UseDevelopmentStorage=true"})
    assert endpoint.url == "http://127.0.0.1:10001/devstoreaccount1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "'AzureWebJobsX' does not exist"),
        ({"X__blobServiceUri": "https://b"}, "neither X__queueServiceUri nor X__accountName"),
        ({"X__accountName": "a", "X__credential": "password"}, "expected 'managedidentity' or none"),
        ({"X": "AccountKey=a2V5"}, "neither AccountName nor QueueEndpoint"),
        ({"X": "AccountName=acc"}, "neither AccountName and AccountKey nor SharedAccessSignature"),
    ],
)
def test_what_is_missing_is_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(FunctionInError, match=message):
        resolve_connection("X", "queue", settings)


def test_a_managed_identity_signs_in_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_sign_in(monkeypatch))


async def _sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def token(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.json_response(
            {
                "access_token": "token",
                "expires_on": str(int(time.time()) + 3600),
                "resource": "r",
                "token_type": "Bearer",
            }
        )

    async def blob(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"])

    application = web.Application()
    application.router.add_get("/token", token)
    application.router.add_get("/account/container/blob", blob)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    storage = Storage({"X__blobServiceUri": f"{url}/account", "X__credential": "managedidentity", "X__clientId": "me"})
    try:
        for _ in range(2):
            answer = await storage.blobs("X").request("GET", "container/blob")
            assert answer.body == b"Bearer token"
    finally:
        await storage.close()
        await runner.cleanup()
    assert [(query["resource"], query["client_id"]) for query in asked] == [("https://storage.azure.com", "me")]
