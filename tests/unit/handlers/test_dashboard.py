"""The page's files over HTTP."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest

from handlers.routes.dashboard import FOLDER, dashboard, dashboard_file, files
from tests.unit.handlers.support import body_of, request, user_function

page, file_of_page = user_function(dashboard), user_function(dashboard_file)


def ask(path: str, **headers: str) -> Any:
    return file_of_page(request(path=f"/api/dashboard/{path}", route={"file": path}, headers=headers))


def test_the_page_and_all_that_its_files_name_are_served() -> None:
    assert page(request(path="/api/dashboard")).get_body() == (FOLDER / "index.html").read_bytes()
    for path in files():
        answer = ask(path)
        assert answer.status_code == 200, path
        for named in re.findall(r'"/api/dashboard/([\w./-]+)"', answer.get_body().decode()):
            assert ask(named).status_code == 200, f"{path} names {named}"


def test_every_file_in_the_folder_is_of_a_known_kind() -> None:
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()} == set(files())


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("index.html", "text/html"),
        ("app.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_has_its_media_type_and_lets_nothing_of_others_in(path: str, media_type: str) -> None:
    answer = ask(path)
    assert answer.mimetype == media_type
    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    again = ask("app.js", **{"if-none-match": ask("app.js").headers["ETag"]})
    assert (again.status_code, again.get_body()) == (304, b"")


@pytest.mark.parametrize("path", ["no.js", "../shared/clients.py", "..%2Fhost.json", "views", "", "/etc/passwd"])
def test_nothing_else_is_served(path: str) -> None:
    answer = ask(path)
    assert answer.status_code == 404
    assert "the page has no file" in body_of(answer)["detail"]


def test_the_page_is_small() -> None:
    raw = sum(map(len, files().values()))
    compressed = sum(len(gzip.compress(content)) for content in files().values())
    assert (raw < 100_000, compressed < 40_000) == (True, True), (raw, compressed)
