"""Trainings and batches on Azure ML over HTTP."""

import msgspec

from handlers.contract.jobs import JobDetail, JobQuery, Jobs
from handlers.http import Answer, Key, api, decode_cursor, encode_cursor
from shared.clients import clients
from shared.errors import ConflictError, NotFoundError


@api.get("jobs", Key.READ, query=JobQuery)
def list_jobs(query: JobQuery) -> Jobs:
    """The trainings and batches of LabelLoop, newest first."""
    from shared import jobs

    scope = f"jobs/{query.kind}"
    after = decode_cursor(scope, query.cursor, str)
    page = jobs.list_jobs(clients(), kind=query.kind, after=after, limit=query.limit + 1)
    following = encode_cursor(scope, page[query.limit - 1]["name"]) if len(page) > query.limit else None
    return msgspec.convert({"jobs": page[: query.limit], "next": following}, Jobs)


@api.get("jobs/{name}", Key.READ, raises=[NotFoundError])
def get_job(name: str) -> JobDetail:
    """One job with its steps and how far it is."""
    from shared import jobs

    return msgspec.convert(jobs.get_job(clients(), name), JobDetail)


@api.post(
    "jobs/{name}/cancel",
    Key.OPERATE,
    answers={202: JobDetail},
    raises=[NotFoundError, ConflictError],
    is_repeatable=True,
)
def cancel_job(name: str) -> Answer:
    """Ask for a job to be canceled."""
    from shared import jobs

    canceled = msgspec.convert(jobs.cancel_job(clients(), name), JobDetail)
    return Answer(canceled, 202, {"Location": f"/api/jobs/{name}"})
