"""The storage proxy: streams every request to Azurite unchanged, and turns successful blob writes into events.

Signatures (SharedKey, SAS) cover method, headers, path and query, but not the host, so requests pass as they are: the
raw path and query byte for byte, bodies neither decompressed nor re-framed, no header added that a signature covers.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import hdrs, web
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from local.cloud.access.storage import StorageAccess
from local.cloud.eventgrid.events import EventLog
from local.cloud.faults import Fault, Faults
from local.cloud.storage import events
from local.cloud.storage.blobs import PLATFORM_AGENT
from local.cloud.storage.counts import CLIENT, HOST, PLATFORM, OperationCounts
from local.cloud.storage.operations import StorageRequest, classify
from local.cloud.storage.refusals import storage_error
from local.config import HOST_AGENT, StackConfig

# RFC 9110, 7.6.1, and Expect, which this server has answered itself.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
# Bodies up to this size are sent in one piece; that is quicker, and allows a second try on a stale connection.
SMALL_BODY_BYTES = 256 * 1024
CHUNK_BYTES = 256 * 1024
# Node closes idle connections after 5 s; ours are given up before.
UPSTREAM_IDLE_SECONDS = 3.0
UPSTREAM_CONNECTIONS = 128
SAS_HOURS = 24

_NO_AUTO_HEADERS = (hdrs.CONTENT_TYPE, hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING)


class StorageProxy:
    """The handlers for the three services, and their connections to Azurite."""

    def __init__(
        self,
        config: StackConfig,
        log: EventLog,
        counts: OperationCounts,
        faults: Faults,
        access: StorageAccess,
        account_id: str,
    ) -> None:
        self._config = config
        self._log = log
        self._counts = counts
        self._faults = faults
        self._access = access
        self._account_id = account_id
        self._blob_endpoint = config.storage_url("blob").rsplit("/", 1)[0]
        context = ssl.create_default_context(cafile=str(config.certificate))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context, limit=UPSTREAM_CONNECTIONS, keepalive_timeout=UPSTREAM_IDLE_SECONDS
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTO_HEADERS,
        )
        self._sas = ""
        self._sas_ends = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    def application(self, service: str) -> web.Application:
        """The server of `blob`, `queue` or `table`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(service, request)

        application = web.Application(client_max_size=0)
        application.router.add_route("*", r"/{tail:(?s:.*)}", handle)
        return application

    async def close(self) -> None:
        await self._session.close()

    async def _handle(self, service: str, request: web.Request) -> web.StreamResponse:
        raw_path = request.raw_path
        headers = {name.lower(): value for name, value in request.headers.items()}
        operation = classify(service, request.method, raw_path, headers)
        caller = _caller(headers.get("user-agent", ""))
        self._counts.add(caller, service, operation.operation)
        body = await _body(request)
        fault = None if caller == PLATFORM else self._fault(service, operation, raw_path, body)
        if fault is not None and not fault.after and (answer := await _fail(request, fault)) is not None:
            return answer
        refused = self._access.refusal(operation, request.method, headers.get("authorization"))
        if refused is not None:
            return storage_error(service, refused)
        url = URL(f"https://127.0.0.1:{self._config.ports[f'azurite_{service}']}{raw_path}", encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=_forwarded(request.headers),
                data=body,
                allow_redirects=False,
            ) as upstream:
                raised = events.event_type(operation, upstream.status)
                if raised is not None:
                    await self._publish(raised, operation, raw_path, headers, upstream.headers)
                if fault is not None and fault.after and (answer := await _fail(request, fault)) is not None:
                    return answer
                return await _answer(request, upstream)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectorError, aiohttp.ClientOSError) as error:
            text = f"Azurite cannot be reached: {type(error).__name__}: {error}"
            # The SDKs try again on 503, as they would with a storage account that is restarting.
            return web.Response(status=503, text=text, headers={"Retry-After": "1", "x-ms-error-code": "ServerBusy"})

    def _fault(
        self, service: str, operation: StorageRequest, raw_path: str, body: bytes | AsyncIterator[bytes] | None
    ) -> Fault | None:
        content = body if isinstance(body, bytes) else b""
        return self._faults.find(service, operation.operation, raw_path.partition("?")[0], content)

    async def _publish(
        self,
        event_type: str,
        operation: StorageRequest,
        raw_path: str,
        request_headers: Mapping[str, str],
        response_headers: CIMultiDictProxy[str],
    ) -> None:
        """Record the event; only then does the client hear that its write succeeded, so that no kill of
        this process loses it.
        """
        properties = None
        if event_type == events.CREATED:
            properties = events.properties_from_request(operation, request_headers)
            if properties is None:
                properties = await self._properties(raw_path)
        plain = {name.lower(): value for name, value in response_headers.items()}
        self._log.publish(
            self._account_id,
            event_type,
            events.subject(operation),
            lambda sequence: events.event_data(
                operation,
                sequence,
                blob_endpoint=self._blob_endpoint,
                raw_path=raw_path,
                request_headers=request_headers,
                response_headers=plain,
                properties=properties,
            ),
        )

    async def _properties(self, raw_path: str) -> events.BlobProperties:
        """The properties of a blob that was just written; zero length when it is gone again."""
        path = raw_path.partition("?")[0]
        url = URL(f"https://127.0.0.1:{self._config.ports['azurite_blob']}{path}?{self._account_sas()}", encoded=True)
        async with self._session.head(url) as response:
            found = response.headers
            return events.BlobProperties(
                int(found.get(hdrs.CONTENT_LENGTH, 0)),
                found.get(hdrs.CONTENT_TYPE, "application/octet-stream"),
                found.get("x-ms-blob-type", "BlockBlob"),
            )

    def _account_sas(self) -> str:
        now = datetime.datetime.now(datetime.UTC)
        if now + datetime.timedelta(hours=1) > self._sas_ends:
            self._sas_ends = now + datetime.timedelta(hours=SAS_HOURS)
            self._sas = generate_account_sas(
                self._config.account_name,
                self._config.account_key,
                resource_types=ResourceTypes(object=True),
                permission=AccountSasPermissions(read=True),
                expiry=self._sas_ends,
            )
        return self._sas


def _caller(agent: str) -> str:
    """Whose request it is, by its user agent."""
    if PLATFORM_AGENT in agent:
        return PLATFORM
    return HOST if HOST_AGENT in agent else CLIENT


async def _body(request: web.Request) -> bytes | AsyncIterator[bytes] | None:
    """A small body as bytes, a big or chunked one as a stream, nothing for a request without a body."""
    if not request.body_exists:
        # A PUT of an empty blob carries Content-Length: 0, which must reach Azurite.
        return b"" if hdrs.CONTENT_LENGTH in request.headers else None
    if request.content_length is not None and request.content_length <= SMALL_BODY_BYTES:
        return await request.content.readexactly(request.content_length)
    return request.content.iter_chunked(CHUNK_BYTES)


def _forwarded(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Without hop-by-hop headers, those that `Connection` names included."""
    dropped = {name.strip().lower() for value in headers.getall(hdrs.CONNECTION, []) for name in value.split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in HOP_BY_HOP and name.lower() not in dropped:
            kept.add(name, value)
    return kept


async def _answer(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = _forwarded(upstream.headers)
    length = upstream.content_length
    if request.method != hdrs.METH_HEAD and length is not None and length <= SMALL_BODY_BYTES:
        body = await upstream.read()
        headers.popall(hdrs.CONTENT_LENGTH, None)
        return web.Response(status=upstream.status, reason=upstream.reason, headers=headers, body=body)
    stream = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    await stream.prepare(request)
    async for chunk in upstream.content.iter_chunked(CHUNK_BYTES):
        await stream.write(chunk)
    await stream.write_eof()
    return stream


async def _fail(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Carry out a fault; None lets the request, or its own answer, pass (after the delay)."""
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.reset:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("fault: connection reset")
    if fault.status is None:
        return None
    headers = {"x-ms-error-code": "ServerBusy"}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return web.Response(status=fault.status, headers=headers, text="fault injected by the local cloud")
