"""Connections, in the Functions convention. No client here talks to anything."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared.clients import Clients
from shared.errors import SettingsError
from tests.support import make_settings

CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=acct;AccountKey=MDAw;BlobEndpoint=http://127.0.0.1:1/acct;"
    "QueueEndpoint=http://127.0.0.1:2/acct;TableEndpoint=http://127.0.0.1:3/acct;"
)


def make(environment: dict[str, str], **settings: object) -> Clients:
    return Clients(make_settings(**settings), environment)


def test_a_connection_string_serves_all_three_services() -> None:
    clients = make({"DATA_STORAGE": CONNECTION})
    assert clients.blobs.url.rstrip("/") == "http://127.0.0.1:1/acct"
    assert clients.queues.url.rstrip("/") == "http://127.0.0.1:2/acct"
    assert clients.tables.url.rstrip("/") == "http://127.0.0.1:3/acct"
    assert clients.account_name == "acct"


def test_an_account_name_stands_for_its_public_endpoints() -> None:
    clients = make({"DATA_STORAGE__accountName": "acct", "DATA_STORAGE__clientId": "id"})
    assert clients.blobs.url.rstrip("/") == "https://acct.blob.core.windows.net"
    assert clients.queues.url.rstrip("/") == "https://acct.queue.core.windows.net"
    assert clients.tables.url.rstrip("/") == "https://acct.table.core.windows.net"
    assert clients.account_name == "acct"


def test_a_service_uri_may_be_path_style() -> None:
    clients = make({"DATA_STORAGE__blobServiceUri": "https://127.0.0.1:9/devstoreaccount1"})
    assert clients.account_name == "devstoreaccount1"
    assert clients.account_resource_id.endswith(
        "/resourceGroups/labelloop/providers/Microsoft.Storage/storageAccounts/devstoreaccount1"
    )
    given = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct"
    assert make({}, data_storage_resource_id=given).account_resource_id == given


@pytest.mark.parametrize("service", ["blobs", "queues", "tables"])
def test_a_missing_connection_is_named(service: str) -> None:
    with pytest.raises(SettingsError, match=r"DATA_STORAGE: is not set; give a connection string, or DATA_STORAGE__"):
        getattr(make({}), service)


def test_the_app_is_told_by_the_host_or_by_a_setting() -> None:
    site = "/resourceGroups/labelloop/providers/Microsoft.Web/sites/app"
    assert make({"WEBSITE_SITE_NAME": "app"}).function_app_id.endswith(site)
    given = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/other"
    assert make({}, function_app_resource_id=given).function_app_id == given
    assert make({"WEBSITE_HOSTNAME": "app.azurewebsites.net"}).function_app_hostname == "app.azurewebsites.net"
    with pytest.raises(SettingsError, match="WEBSITE_SITE_NAME"):
        _ = make({}).function_app_id
    with pytest.raises(SettingsError, match="WEBSITE_HOSTNAME"):
        _ = make({}).function_app_hostname


def test_the_public_cloud_is_the_default() -> None:
    assert make({}).resource_manager == "https://management.azure.com"


def test_another_cloud_is_told_by_its_metadata() -> None:
    with metadata_server() as base:
        clients = make({"ARM_CLOUD_METADATA_URL": f"{base}/metadata/endpoints?api-version=2019-05-01"})
        assert clients.resource_manager == base


def test_metadata_of_some_other_cloud_is_refused() -> None:
    with metadata_server("https://elsewhere.example/") as base:
        clients = make({"ARM_CLOUD_METADATA_URL": f"{base}/metadata"})
        with pytest.raises(SettingsError, match="ARM_CLOUD_METADATA_URL"):
            _ = clients.resource_manager


@contextmanager
def metadata_server(resource_manager: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            content = json.dumps([{"resourceManager": resource_manager or f"{base}/"}]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
