"""Answers: JSON, and problems as RFC 9457 documents."""

from __future__ import annotations

import logging

import azure.functions as func
import pytest
from azure.core.exceptions import ResourceNotFoundError

from handlers.http import answering, json_response, problem
from shared import errors
from tests.unit.handlers.support import body_of, request


def test_json_is_answered_unescaped_with_its_headers() -> None:
    response = json_response({"label": "Äpfel"}, 202, {"Location": "/api/provision"})
    assert (response.status_code, response.mimetype) == (202, "application/json")
    assert response.headers["Location"] == "/api/provision"
    assert "Äpfel" in response.get_body().decode()


def test_a_problem_says_what_is_wrong_with_what() -> None:
    response = problem(400, "kind is 'x'", "kind")
    assert response.mimetype == "application/problem+json"
    assert body_of(response) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "kind is 'x'",
        "field": "kind",
    }
    assert "Retry-After" not in response.headers
    assert "field" not in body_of(problem(404, "no"))


def test_what_will_be_there_later_tells_when_to_ask_again() -> None:
    assert int(problem(503, "no model yet").headers["Retry-After"]) > 0


def answer_to(error: Exception) -> func.HttpResponse:
    @answering
    def handler(req: func.HttpRequest) -> func.HttpResponse:
        raise error

    return handler(request("POST", "/api/predict?code=secret"))


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (errors.InvalidRequestError("x", "f"), 400, "Bad Request"),
        (errors.ExportError("e.json", ["r"]), 400, "Bad Request"),
        (errors.ImageRejectedError("x"), 400, "Bad Request"),
        (errors.NotFoundError("x"), 404, "Not Found"),
        (errors.NoModelError("x"), 503, "Service Unavailable"),
        (errors.SettingsError("A", "x"), 500, "Internal Server Error"),
        (errors.ProvisioningError("compute c", "x"), 500, "Internal Server Error"),
        (errors.LabelLoopError("x"), 500, "Internal Server Error"),
    ],
)
def test_each_error_meant_for_people_has_its_status(error: Exception, status: int, title: str) -> None:
    response = answer_to(error)
    body = body_of(response)
    assert (response.status_code, body["status"], body["title"]) == (status, status, title)
    assert body["detail"] == str(error)
    assert body.get("field") == getattr(error, "field", None)


def test_an_error_of_ours_is_logged_and_without_the_urls_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer_to(errors.LabelLoopError("broken"))
    (record,) = caplog.records
    assert record.getMessage() == "POST https://app.example/api/predict"
    assert record.exc_info is not None
    caplog.clear()
    answer_to(errors.NotFoundError("x"))
    assert caplog.records == []


def test_a_defect_is_left_to_the_host() -> None:
    with pytest.raises(ZeroDivisionError):
        answer_to(ZeroDivisionError())


def test_an_error_of_an_sdk_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    response = answer_to(ResourceNotFoundError("https://acct.blob.core.windows.net/secret was not found"))
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert "ResourceNotFoundError" in body_of(response)["detail"]
    assert "secret" not in body_of(response)["detail"]
    assert len(caplog.records) == 1


def test_what_goes_well_is_answered_as_it_is() -> None:
    @answering
    def handler(req: func.HttpRequest) -> func.HttpResponse:
        return json_response({"method": req.method})

    assert handler.__name__ == "handler", "the host indexes functions by their names"
    assert body_of(handler(request("GET"))) == {"method": "GET"}
