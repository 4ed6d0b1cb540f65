"""The frame of the HTTP API. `table` tells how to add a route."""

from handlers.http.answers import HTML_HEADERS, Answer
from handlers.http.callers import Caller, Key
from handlers.http.cursors import PageQuery, decode_cursor, encode_cursor, page_of
from handlers.http.problems import HttpError
from handlers.http.reading import Content, json_of
from handlers.http.routes import File, Files, Route
from handlers.http.table import api

__all__ = [
    "HTML_HEADERS",
    "Answer",
    "Caller",
    "Content",
    "File",
    "Files",
    "HttpError",
    "Key",
    "PageQuery",
    "Route",
    "api",
    "decode_cursor",
    "encode_cursor",
    "json_of",
    "page_of",
]
