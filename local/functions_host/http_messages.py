"""HTTP requests and responses ↔ the worker's RpcHttp (GrpcMessageConversionExtensions of the real host)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict, MultiMapping

from local.functions_host.messages import RpcHttp, TypedData

# The server sets these itself; a function's own values could only contradict the body that is sent.
_OWN_HEADERS = {"content-length", "transfer-encoding", "connection", "keep-alive"}
_SAME_SITE = {1: "lax", 2: "strict", 3: "none"}


def request_data(request: web.Request, body: bytes, params: Mapping[str, str]) -> TypedData:
    """The trigger value of a request: names of headers lower-case, repeated values joined by commas, empty left out."""
    return TypedData(
        http=RpcHttp(
            method=request.method,
            url=str(request.url),
            headers={name.lower(): value for name, value in _joined(request.headers).items()},
            query={name: value for name, value in _joined(request.query).items() if value},
            params=dict(params),
            body=TypedData(bytes=body) if body else TypedData(),
        )
    )


def _joined(values: MultiMapping[str]) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for name, value in values.items():
        joined.setdefault(name, []).append(value)
    return {name: ",".join(parts) for name, parts in joined.items()}


def response_of(value: TypedData | None) -> web.Response:
    """The HTTP response for what a function returned. Raises ValueError for a status that HTTP does not have."""
    if value is None or value.kind is None:
        return web.Response()
    if value.kind != "http":
        body, content_type = _body(value)
        return web.Response(body=body, headers={"Content-Type": content_type})
    http = value.value
    status = int(http.status_code)
    if not 100 <= status <= 999:
        raise ValueError(f"a function returned the HTTP status {status}")
    headers: CIMultiDict[str] = CIMultiDict()
    for name, text in http.headers.items():
        if name.lower() not in _OWN_HEADERS:
            headers[name] = text
    for cookie in http.cookies or ():
        headers.add("Set-Cookie", set_cookie(cookie))
    body, content_type = _body(http.body)
    headers.setdefault("Content-Type", content_type)
    return web.Response(status=status, body=body, headers=headers)


def _body(value: TypedData) -> tuple[bytes, str]:
    if value.kind == "bytes":
        return bytes(value.value), "application/octet-stream"
    if value.kind == "json":
        return str(value.value).encode(), "application/json; charset=utf-8"
    return ("" if value.value is None else str(value.value)).encode(), "text/plain; charset=utf-8"


def set_cookie(cookie: Any) -> str:
    """A Set-Cookie header as ASP.NET Core writes it: value percent-encoded, path `/` unless said otherwise."""
    parts = [f"{cookie.name}={quote(cookie.value, safe='')}"]
    if cookie.expires is not None:
        moment = datetime.fromtimestamp(cookie.expires.value.seconds, UTC)
        parts.append(f"expires={format_datetime(moment, usegmt=True)}")
    if cookie.max_age is not None:
        parts.append(f"max-age={int(cookie.max_age.value)}")
    if cookie.domain is not None and cookie.domain.value:
        parts.append(f"domain={cookie.domain.value}")
    path = cookie.path.value if cookie.path is not None else ""
    parts.append(f"path={path or '/'}")
    if cookie.secure is not None and cookie.secure.value:
        parts.append("secure")
    if cookie.same_site in _SAME_SITE:
        parts.append(f"samesite={_SAME_SITE[cookie.same_site]}")
    if cookie.http_only is not None and cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
