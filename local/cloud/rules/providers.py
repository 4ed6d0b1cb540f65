"""Resource providers and whether the subscription has registered them.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
"""

from __future__ import annotations

from local.cloud.errors import ConflictError, NotFoundError
from local.cloud.resources import Json, ResourceStore
from local.cloud.rules.regions import REGIONS

RESOURCE_TYPES = {
    "Microsoft.MachineLearningServices": ("workspaces", "workspaces/computes", "locations/vmSizes", "locations/usages"),
    "Microsoft.EventGrid": ("systemTopics", "systemTopics/eventSubscriptions", "topics", "topics/eventSubscriptions"),
    "Microsoft.Storage": ("storageAccounts",),
    "Microsoft.Web": ("sites",),
    "Microsoft.Authorization": ("roleAssignments", "roleDefinitions"),
    "Microsoft.ManagedIdentity": ("userAssignedIdentities",),
}


class Providers:
    """All are registered until someone unregisters one."""

    def __init__(self, store: ResourceStore) -> None:
        self._store = store

    def document(self, subscription: str, namespace: str) -> Json:
        """Raises NotFoundError, in ARM's words, for a provider that does not exist."""
        name = next((each for each in RESOURCE_TYPES if each.lower() == namespace.lower()), None)
        if name is None:
            raise NotFoundError(f"The resource namespace '{namespace}' is invalid.", code="InvalidResourceNamespace")
        locations = [region.display_name for region in REGIONS if region.is_physical]
        return {
            "id": f"/subscriptions/{subscription}/providers/{name}",
            "namespace": name,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": self._state(subscription, name),
            "resourceTypes": [{"resourceType": each, "locations": locations} for each in RESOURCE_TYPES[name]],
        }

    def register(self, subscription: str, namespace: str, state: str) -> Json:
        """Set the state, `Registered` or `Unregistered`. In Azure that takes a minute; here it is done at once."""
        document = self.document(subscription, namespace)
        self._store.put(document["id"], {"registrationState": state})
        return {**document, "registrationState": state}

    def require(self, subscription: str, namespace: str) -> None:
        """Raises ConflictError, in ARM's words, unless the subscription may make resources of that provider:
        https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
        """
        if self._state(subscription, namespace) != "Registered":
            raise ConflictError(
                f"The subscription is not registered to use namespace '{namespace}'. "
                "See https://aka.ms/rps-not-found for how to register subscriptions.",
                code="MissingSubscriptionRegistration",
            )

    def _state(self, subscription: str, namespace: str) -> str:
        kept = self._store.find(f"/subscriptions/{subscription}/providers/{namespace}")
        return str(kept.body["registrationState"]) if kept else "Registered"
