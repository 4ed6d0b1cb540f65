"""Refuses management requests that their caller has no role for, in Azure's words.

https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from local.cloud.access.assignments import Assignments
from local.cloud.access.demands import Demand, demand_of, linked_demands, template_demands
from local.cloud.errors import BadRequestError, ForbiddenError
from local.cloud.identity import IdentityProvider
from local.cloud.wire.http import Guard, Handler, Reply, Request, Route

SEND_EVENTS = "Microsoft.EventGrid/events/send/action"


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who sends a request: a service principal's application id and object id."""

    client_id: str
    object_id: str

    def __str__(self) -> str:
        return f"The client '{self.client_id}' with object id '{self.object_id}'"


class Gate:
    """Checks callers against role assignments."""

    def __init__(self, identity: IdentityProvider, assignments: Assignments) -> None:
        self._identity = identity
        self._assignments = assignments

    def caller(self, request: Request, audiences: Sequence[str] = ()) -> Caller:
        """Raises AuthenticationFailedError."""
        claims = self._identity.require(request.headers.get("authorization"), audiences)
        return Caller(str(claims["appid"]), str(claims["oid"]))

    def management(self, request: Request) -> None:
        """The guard of management routes: a token, an api-version, and a role that allows the request's action."""
        caller = self.caller(request)
        if request.path.startswith("/subscriptions/") and "api-version" not in request.query:
            raise BadRequestError(
                "The api-version query parameter (?api-version=) is required for all requests.",
                code="MissingApiVersionParameter",
            )
        demand = demand_of(request.method, request.path)
        if demand is not None and not self._may(caller, demand):
            raise refusal(caller, demand)

    def with_links(self, routes: Sequence[Route]) -> list[Route]:
        """The routes, each of which now also asks for the rights at what a request's body names."""
        return [
            dataclasses.replace(route, handler=self._linked(route.handler))
            if route.method in ("PUT", "PATCH")
            else route
            for route in routes
        ]

    def _linked(self, handler: Handler) -> Handler:
        async def check(request: Request) -> Reply:
            caller, demand = self.caller(request), demand_of(request.method, request.path)
            if demand is not None:
                for inner in template_demands(demand, request.body):
                    if not self._may(caller, inner):
                        raise _template_refusal(caller, inner)
                for link in linked_demands(demand, request.body):
                    if not self._may(caller, link):
                        raise _link_refusal(caller, demand, link)
            return await handler(request)

        return check

    def publishing(self, guard: Guard, audience: str, topic_id: Callable[[str], str]) -> Guard:
        """A guard of a topic's data plane: besides what `guard` asks for, a token's holder must be a data sender.

        `topic_id` answers the id of the topic with a name.
        """

        def check(request: Request) -> None:
            guard(request)
            if "aeg-sas-key" in request.headers:
                return
            scope = topic_id(request.params["topic"])
            if not self._assignments.allows(self.caller(request, [audience]).object_id, SEND_EVENTS, scope, data=True):
                raise ForbiddenError(
                    "The principal associated with access token presented with the incoming request does not have "
                    f"permission to send data to {scope}.",
                    code="Forbidden",
                )

        return check

    def _may(self, caller: Caller, demand: Demand) -> bool:
        return self._assignments.allows(caller.object_id, demand.action, demand.scope)


def refusal(caller: Caller, demand: Demand) -> ForbiddenError:
    """403 AuthorizationFailed."""
    return ForbiddenError(
        f"{caller} does not have authorization to perform action '{demand.action}' over scope '{demand.scope}' or the "
        "scope is invalid. If access was recently granted, please refresh your credentials."
    )


def _link_refusal(caller: Caller, demand: Demand, link: Demand) -> ForbiddenError:
    return ForbiddenError(
        f"{caller} has permission to perform action '{demand.action}' on scope '{demand.scope}'; however, it does not "
        f"have permission to perform action(s) '{link.action}' on the linked scope(s) '{link.scope}' (respectively) or "
        "the linked scope(s) are invalid.",
        code="LinkedAuthorizationFailed",
    )


def _template_refusal(caller: Caller, demand: Demand) -> ForbiddenError:
    kind = demand.action.removesuffix("/write")
    return ForbiddenError(
        "The template deployment failed with error: 'Authorization failed for template resource "
        f"'{demand.scope.rsplit('/', 1)[-1]}' of type '{kind}'. {caller} does not have permission to perform action "
        f"'{demand.action}' at scope '{demand.scope}'.'.",
        code="InvalidTemplateDeployment",
    )
