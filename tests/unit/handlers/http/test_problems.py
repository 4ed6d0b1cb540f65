"""Errors as RFC 9457 documents."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from handlers.http import problems
from handlers.http.problems import HttpError, Kind
from shared import errors
from tests.unit.handlers.support import body_of

REQUEST = "POST https://app.example/api/predict"


def answer_to(error: Exception) -> func.HttpResponse:
    return problems.answer_to(error, REQUEST)


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (errors.InvalidRequestError("x", "f"), 400, "invalid-request"),
        (errors.ForbiddenError("x"), 403, "switched-off"),
        (errors.NotFoundError("x"), 404, "not-found"),
        (errors.ConflictError("x"), 409, "conflict"),
        (errors.ExportError("e.json", ["r"]), 422, "export-refused"),
        (errors.ImageRejectedError("x"), 422, "image-rejected"),
        (errors.NoModelError("x"), 503, "no-model"),
        (errors.SettingsError("A", "x"), 500, "misconfigured"),
        (errors.ProvisioningError("compute c", "x"), 500, "azure-resource"),
        (errors.LabelLoopError("x"), 500, "internal-error"),
    ],
)
def test_each_error_meant_for_people_has_a_status_and_a_type_of_its_own(
    error: Exception, status: int, name: str
) -> None:
    response = answer_to(error)
    body = body_of(response)
    assert (response.mimetype, response.status_code, body["status"]) == ("application/problem+json", status, status)
    assert body["type"] == f"urn:labelloop:problem:{name}"
    assert body["title"]
    assert body["detail"] == str(error)
    assert body.get("field") == getattr(error, "field", None)
    assert ("Retry-After" in response.headers) == (status == 503)


def test_an_export_that_is_refused_lists_every_reason() -> None:
    assert body_of(answer_to(errors.ExportError("e.json", ["one", "two"])))["reasons"] == ["one", "two"]


def test_a_problem_of_http_brings_its_headers() -> None:
    response = answer_to(HttpError(problems.REQUEST_IN_PROGRESS, "wait", headers={"Retry-After": "5"}))
    assert (response.status_code, response.headers["Retry-After"]) == (409, "5")


def test_every_kind_has_a_type_of_its_own() -> None:
    kinds = [each for each in vars(problems).values() if isinstance(each, Kind)]
    assert len({each.type for each in kinds}) == len(kinds) > 20


def test_only_what_people_have_to_look_at_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer_to(errors.LabelLoopError("broken"))
    (record,) = caplog.records
    assert record.getMessage() == REQUEST
    assert record.exc_info is not None
    caplog.clear()
    answer_to(errors.NotFoundError("x"))
    assert caplog.records == []


def test_a_defect_is_told_without_its_details_and_logged_with_them(caplog: pytest.LogCaptureFixture) -> None:
    response = answer_to(ZeroDivisionError("secret"))
    assert body_of(response)["type"] == "urn:labelloop:problem:internal-error"
    assert "secret" not in response.get_body().decode()
    assert caplog.records[0].exc_info is not None


def test_an_error_of_an_sdk_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    response = answer_to(ResourceNotFoundError("https://acct.blob.core.windows.net/secret was not found"))
    assert response.status_code == 503
    assert "ResourceNotFoundError" in body_of(response)["detail"]
    assert "secret" not in body_of(response)["detail"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("given", "told"), [({"Retry-After": "7"}, "7"), ({}, "60"), ({"Retry-After": "soon"}, "60")])
def test_that_azure_wants_fewer_requests_is_passed_on_with_its_wait(given: dict[str, str], told: str) -> None:
    answered: Any = SimpleNamespace(status_code=429, reason="Too Many Requests", headers=given)
    response = answer_to(HttpResponseError(response=answered))
    assert (response.status_code, response.headers["Retry-After"]) == (429, told)
