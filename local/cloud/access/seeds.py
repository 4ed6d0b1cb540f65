"""Who may do what when a stack starts: what Bicep assigns in Azure where the app is to make the workspace itself.

The cluster's and the topics' identities get their roles from provisioning, since nothing has made these yet. The host's
and the data's storage account are one here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

from local.cloud.access.assignments import Assignment
from local.cloud.access.roles import role_named
from local.cloud.identity import APP_CLIENT_ID, OWNER_CLIENT_ID
from local.cloud.rules.identities import principal_of
from local.config import StackConfig

GROUP = "/resourceGroups/{resource_group}"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{{account_name}}"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/{{function_app_name}}"
INSIGHTS = f"{GROUP}/providers/Microsoft.Insights/components/labelloop"
TOPIC = f"{GROUP}/providers/Microsoft.EventGrid/topics/labelloop"
SUBSCRIPTION = ""

# What the app may give others.
_GIVEABLE_ROLES = (
    "Storage Blob Data Contributor",
    "Storage Queue Data Contributor",
    "Storage Table Data Contributor",
    "AzureML Data Scientist",
    "AcrPull",
)
_GIVEABLE = f"{{{', '.join(role_named(name).guid for name in _GIVEABLE_ROLES)}}}"
_ATTRIBUTE = "[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals"
ONLY_DATA_ROLES = (
    "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR "
    f"(@Request{_ATTRIBUTE} {_GIVEABLE})) AND "
    "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR "
    f"(@Resource{_ATTRIBUTE} {_GIVEABLE}))"
)


class Seed(NamedTuple):
    """A role of a client, at a scope below the subscription."""

    client_id: str
    role: str
    scope: str
    condition: str = ""


SEEDS = (
    Seed(OWNER_CLIENT_ID, "Owner", SUBSCRIPTION),
    Seed(APP_CLIENT_ID, "Storage Blob Data Owner", ACCOUNT),
    Seed(APP_CLIENT_ID, "Storage Queue Data Contributor", ACCOUNT),
    Seed(APP_CLIENT_ID, "Storage Table Data Contributor", ACCOUNT),
    Seed(APP_CLIENT_ID, "Monitoring Metrics Publisher", INSIGHTS),
    Seed(APP_CLIENT_ID, "EventGrid Data Sender", TOPIC),
    Seed(APP_CLIENT_ID, "Website Contributor", SITE),
    Seed(APP_CLIENT_ID, "Reader", GROUP),
    Seed(APP_CLIENT_ID, "EventGrid Contributor", GROUP),
    Seed(APP_CLIENT_ID, "Contributor", GROUP),
    Seed(APP_CLIENT_ID, "Role Based Access Control Administrator", GROUP, ONLY_DATA_ROLES),
    Seed(APP_CLIENT_ID, "LabelLoop quota reader", SUBSCRIPTION),
)


def seeded(config: StackConfig) -> Iterator[Assignment]:
    """The seeds of a stack, under names that are the same at every start."""
    names = {name: getattr(config, name) for name in ("resource_group", "account_name", "function_app_name")}
    for seed in SEEDS:
        scope = f"/subscriptions/{config.subscription_id}{seed.scope.format(**names)}"
        principal, role = principal_of(seed.client_id), role_named(seed.role)
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{principal}|{role.guid}".lower()))
        yield Assignment(scope, name, principal, role.guid, condition=seed.condition)
