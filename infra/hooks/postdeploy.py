"""After `azd deploy`: give the API's functions their keys, ask the app to make what only it can make, wait for it, and
fail when it does.

Needs Python 3.9 or newer and nothing else. azd passes its environment, in which the outputs of main.bicep stand.
PROVISION_TIMEOUT_SECONDS [3600], START_TIMEOUT_SECONDS [900] and POLL_SECONDS [10] change how long it waits.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

WEB_API_VERSION = "2024-04-01"
REQUEST_SECONDS = 60
# What the front end and the host answer while a deployed app starts; the app's own 503 says that Azure does not let it
# in yet, since roles take minutes to spread. 0 is no answer.
STARTING = frozenset({0, 401, 404, 408, 429, 500, 502, 503, 504})
# Resource Manager asks the host for its keys, and answers 400 while that does not answer.
KEYS_STARTING = frozenset({0, 400, 408, 409, 429, 500, 502, 503, 504})
PROBLEM = "application/problem+json"
# Classes of the API's functions; a key of one opens those before it, too.
CLASSES = ("read", "score", "operate")


class HookError(Exception):
    """Why the app is not provisioned, for people."""


class AnswerError(Exception):
    """An HTTP answer that is no success, or none (status 0)."""

    def __init__(self, status: int, detail: str, *, is_from_app: bool) -> None:
        super().__init__(f"{status or 'no answer'}: {detail}")
        self.status = status
        self.detail = detail
        self.is_from_app = is_from_app


def say(line: str) -> None:
    """One line to azd's console, at once."""
    print(line, flush=True)


def main(environment: Mapping[str, str]) -> int:
    """The exit status: 0 when everything is provisioned or others do that, 1 otherwise, with the reason on stderr."""
    try:
        say(provision(environment))
    except HookError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 1
    return 0


def provision(environment: Mapping[str, str]) -> str:
    """Ask for provisioning and follow it; a line that says how it ended. Raises HookError when it did not end well."""
    app_id, app_url, manager = (
        required(environment, name)
        for name in ("FUNCTION_APP_RESOURCE_ID", "FUNCTION_APP_URL", "RESOURCE_MANAGER_ENDPOINT")
    )
    start_seconds, timeout_seconds, poll_seconds = (
        seconds(environment, name, default)
        for name, default in (("START_TIMEOUT_SECONDS", 900), ("PROVISION_TIMEOUT_SECONDS", 3600), ("POLL_SECONDS", 10))
    )
    url = f"{app_url.rstrip('/')}/api/provision"
    keys_url = f"{manager.rstrip('/')}{app_id}/host/default/listKeys?api-version={WEB_API_VERSION}"
    authorization = {"Authorization": f"Bearer {access_token()}"}
    deadline = time.monotonic() + start_seconds
    try:
        keys = started("POST", keys_url, authorization, deadline, poll_seconds, KEYS_STARTING)
    except AnswerError as error:
        raise HookError(f"the keys of {app_id} can't be had: {error}") from None
    headers = {"x-functions-key": str((keys.get("functionKeys") or {}).get("default") or keys.get("masterKey") or "")}
    if not headers["x-functions-key"]:
        raise HookError(f"the function app {app_id} has no host key; look at its keys in the Azure portal")
    try:
        document = started("GET", f"{app_url.rstrip('/')}/api/openapi.json", {}, deadline, poll_seconds)
        if "entra" in document["components"]["securitySchemes"]:
            scope = f"{required(environment, 'ENTRA_CLIENT_ID')}/.default"
            headers = {"Authorization": f"Bearer {access_token('--scope', scope)}"}
        else:
            say(key_functions(document, *key_store(f"{manager.rstrip('/')}{app_id}/functions", authorization)))
    except AnswerError as error:
        raise HookError(f"the functions of {app_id} can't be given their keys: {error}") from None
    say(f"asking {url} ...")
    try:
        report = started("POST", url, headers, deadline, poll_seconds)
    except AnswerError as error:
        if error.status == 403 and error.is_from_app:
            return f"skipped: {error.detail}. Deploy infra/event-subscriptions.bicep now, if that has not been done."
        raise HookError(f"POST {url} was refused with {error}") from None
    return followed(url, headers, report, timeout_seconds, poll_seconds)


ListKeys = Callable[[str], Mapping[str, str]]
SetKey = Callable[[str, str, str], None]


def key_functions(document: Mapping[str, Any], list_keys: ListKeys, set_key: SetKey) -> str:
    """Give each function of the API the keys of its class and of those above: `read`, `score` and `operate`, the same
    value for all functions. A value that there is stays, so that no client is locked out. `document` is the OpenAPI
    document of the app, which tells the classes. Returns a line about it.
    """
    classes = {
        operation["operationId"]: operation["x-labelloop-key"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if operation["security"]
    }
    found = {function: list_keys(function) for function in classes}
    changed = 0
    for name in CLASSES:
        opened = [each for each in classes if CLASSES.index(classes[each]) <= CLASSES.index(name)]
        value = next((found[each][name] for each in opened if found[each].get(name)), "") or secrets.token_urlsafe(32)
        for function in opened:
            if found[function].get(name) != value:
                set_key(function, name, value)
                changed += 1
    return f"keys read, score and operate: {changed} set on {len(classes)} functions"


def key_store(functions_url: str, authorization: Mapping[str, str]) -> tuple[ListKeys, SetKey]:
    """Resource Manager's keys of functions; needs Microsoft.Web/sites/functions/listkeys/action and .../keys/write:
    https://learn.microsoft.com/rest/api/appservice/web-apps/create-or-update-function-secret
    """

    def list_keys(function: str) -> Mapping[str, str]:
        url = f"{functions_url}/{function}/listkeys?api-version={WEB_API_VERSION}"
        answer = ask("POST", url, authorization)
        keys: Mapping[str, str] = answer.get("properties") or answer
        return keys

    def set_key(function: str, name: str, value: str) -> None:
        url = f"{functions_url}/{function}/keys/{name}?api-version={WEB_API_VERSION}"
        ask("PUT", url, authorization, {"properties": {"name": name, "value": value}})

    return list_keys, set_key


def followed(url: str, headers: Mapping[str, str], report: dict[str, Any], timeout: float, poll: float) -> str:
    """Poll until it is over, with a line for every change. Raises HookError when it fails or takes too long."""
    begun = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        for line in changes(report, shown):
            say(line)
        if report["state"] == "ready":
            return f"ready: {len(report['resources'])} resources"
        if report["state"] not in {"in_progress", "not_started"}:
            raise HookError("provisioning has failed.\n" + "\n".join(reasons(report)))
        if time.monotonic() - begun > timeout:
            unfinished = [each["id"] for each in report["resources"] if each["state"] != "ready"]
            raise HookError(
                f"provisioning is not over after {timeout:.0f} s; not ready: {', '.join(unfinished) or '(unknown)'}. "
                f"It goes on in the app: GET {url} tells how far it is"
            )
        time.sleep(poll)
        try:
            report = started("GET", url, headers, begun + timeout, poll)
        except AnswerError as error:
            raise HookError(f"GET {url} was refused with {error}") from None


def changes(report: Mapping[str, Any], shown: dict[str, str]) -> list[str]:
    """A line for every resource whose state is not the one shown before, which is noted in `shown`."""
    lines = []
    for each in report["resources"]:
        state = each["state"] + (f": {each['error']}" if each.get("error") else "")
        if state != shown.get(each["id"], "pending"):
            shown[each["id"]] = state
            lines.append(f"  {each['id']}: {state}")
    return lines


def reasons(report: Mapping[str, Any]) -> list[str]:
    """What a person has to know about a failure: refused checks with their remedies, resources that are not ready."""
    lines = [f"  {report['error']}"] if report.get("error") else []
    for check in report.get("checks") or []:
        if check["state"] == "refused":
            lines.append(f"  {check['check']}: {check['message']}")
            if check.get("remedy"):
                lines.append(f"    do this: {check['remedy']}")
    lines += [
        f"  {each['id']} ({each['state']}): {each.get('error') or 'no reason given'}"
        for each in report["resources"]
        if each["state"] in {"failed", "conflict", "waiting"}
    ]
    return lines or [f"  the state is {report['state']}"]


def started(
    method: str,
    url: str,
    headers: Mapping[str, str],
    deadline: float,
    poll: float,
    starting: frozenset[int] = STARTING,
) -> dict[str, Any]:
    """The answer, once the app has started. Raises AnswerError for a refusal, HookError when it does not start in time.

    `deadline` in seconds of time.monotonic(). `starting` are the statuses that say that it has not.
    """
    said = ""
    while True:
        try:
            return ask(method, url, headers)
        except AnswerError as error:
            is_starting = error.status == 503 if error.is_from_app else error.status in starting
            if not is_starting:
                raise
            if time.monotonic() > deadline:
                raise HookError(f"{url} did not become ready in time; the last answer was {error}") from None
            if str(error) != said:
                said = str(error)
                say(f"waiting for the app ({said})")
        time.sleep(poll)


def ask(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> dict[str, Any]:
    """One request; the JSON object that it is answered with. Raises AnswerError for any other answer, or none."""
    data = b"" if method == "POST" else None
    if body is not None:
        data, headers = json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}
    request = urllib.request.Request(url, method=method, headers=dict(headers), data=data)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310
            content = response.read()
    except urllib.error.HTTPError as error:
        raise refusal(error) from None
    except (OSError, http.client.HTTPException) as error:
        raise AnswerError(0, str(getattr(error, "reason", error)), is_from_app=False) from None
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AnswerError(0, f"{url} answers no JSON object", is_from_app=False)
    return answer


def refusal(error: urllib.error.HTTPError) -> AnswerError:
    """An error answer: the app's own problem document (RFC 9457), Resource Manager's error, or anything else."""
    with error:
        text = error.read().decode(errors="replace")
    try:
        body = json.loads(text)
        detail = str(body["detail"] if "detail" in body else body["error"]["message"])
    except (ValueError, KeyError, TypeError):
        detail = text.strip()[:200] or str(error.reason)
    is_from_app = error.headers.get_content_type() == PROBLEM
    return AnswerError(error.code, detail, is_from_app=is_from_app)


def access_token(*options: str) -> str:
    """A token for Azure Resource Manager, or for the `--scope` in the options: https://learn.microsoft.com/azure/developer/azure-developer-cli/reference"""
    azd = shutil.which("azd")
    if azd is None:
        raise HookError("azd is not on the PATH")
    done = subprocess.run(
        [azd, "auth", "token", *options, "--output", "json"], capture_output=True, text=True, check=False
    )
    try:
        return str(json.loads(done.stdout)["token"])
    except (ValueError, KeyError, TypeError):
        why = done.stderr.strip() or f"it ended with status {done.returncode} and no token"
        raise HookError(f"azd auth token: {why}. Log in with: azd auth login") from None


def required(environment: Mapping[str, str], name: str) -> str:
    """A value that `azd provision` leaves in the environment. Raises HookError when it is not there."""
    value = environment.get(name, "")
    if not value:
        raise HookError(f"{name} is not set; run azd provision first")
    return value


def seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """A time in seconds. Raises HookError when it is no number above 0."""
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise HookError(f"{name} is {text!r}, but must be a number of seconds above 0")
    return value


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        # A console that can't show a letter must not end the wait.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(os.environ))
