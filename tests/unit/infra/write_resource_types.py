"""Write resource_types.json: what the Azure SDKs' models say of every place at which infra/ sets something.

Needs the management SDKs, which the project does not:

    uv run --with azure-mgmt-web,azure-mgmt-storage,azure-mgmt-keyvault,azure-mgmt-applicationinsights \
      --with azure-mgmt-loganalytics,azure-mgmt-authorization,azure-mgmt-msi,azure-mgmt-network,azure-mgmt-privatedns \
      --with azure-mgmt-consumption,azure-mgmt-resource,azure-mgmt-eventgrid,azure-ai-ml,tree-sitter,tree-sitter-bicep \
      python -m tests.unit.infra.write_resource_types
"""

from __future__ import annotations

import datetime
import enum
import importlib
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.unit.infra.functions import Runtime
from tests.unit.infra.resource_types import PATH, type_name
from tests.unit.infra.support import VARIANTS, deploy_event_subscriptions, deploy_main

STORAGE, WEB, EVENT_GRID = "azure.mgmt.storage", "azure.mgmt.web", "azure.mgmt.eventgrid"
# azure-ai-ml brings the models of API version 2025-12-01.
MACHINE_LEARNING = "azure.ai.ml._restclient.arm_ml_service"
NETWORK, PRIVATE_DNS, AUTHORIZATION = (
    "azure.mgmt.network",
    "azure.mgmt.privatedns",
    "azure.mgmt.authorization.v2022_04_01",
)
MODELS = {
    "Microsoft.Authorization/roleAssignments": (AUTHORIZATION, "RoleAssignmentCreateParameters"),
    "Microsoft.Authorization/roleDefinitions": (AUTHORIZATION, "RoleDefinition"),
    "Microsoft.Consumption/budgets": ("azure.mgmt.consumption", "Budget"),
    "Microsoft.EventGrid/systemTopics": (EVENT_GRID, "SystemTopic"),
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": (EVENT_GRID, "EventSubscription"),
    "Microsoft.EventGrid/topics": (EVENT_GRID, "Topic"),
    "Microsoft.Insights/components": ("azure.mgmt.applicationinsights.v2020_02_02", "ApplicationInsightsComponent"),
    "Microsoft.KeyVault/vaults": ("azure.mgmt.keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.MachineLearningServices/workspaces": (MACHINE_LEARNING, "Workspace"),
    "Microsoft.MachineLearningServices/workspaces/computes": (MACHINE_LEARNING, "ComputeResource"),
    "Microsoft.MachineLearningServices/workspaces/datastores": (MACHINE_LEARNING, "Datastore"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azure.mgmt.msi.v2024_11_30", "Identity"),
    "Microsoft.Network/natGateways": (NETWORK, "NatGateway"),
    "Microsoft.Network/networkSecurityGroups": (NETWORK, "NetworkSecurityGroup"),
    "Microsoft.Network/privateDnsZones": (PRIVATE_DNS, "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (PRIVATE_DNS, "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": (NETWORK, "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (NETWORK, "PrivateDnsZoneGroup"),
    "Microsoft.Network/publicIPAddresses": (NETWORK, "PublicIPAddress"),
    "Microsoft.Network/virtualNetworks": (NETWORK, "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": ("azure.mgmt.loganalytics", "Workspace"),
    "Microsoft.Resources/resourceGroups": ("azure.mgmt.resource.resources", "ResourceGroup"),
    "Microsoft.Storage/storageAccounts": (STORAGE, "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": (STORAGE, "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (STORAGE, "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": (STORAGE, "ManagementPolicy"),
    "Microsoft.Storage/storageAccounts/queueServices": (STORAGE, "QueueServiceProperties"),
    "Microsoft.Storage/storageAccounts/queueServices/queues": (STORAGE, "StorageQueue"),
    "Microsoft.Storage/storageAccounts/tableServices": (STORAGE, "TableServiceProperties"),
    "Microsoft.Storage/storageAccounts/tableServices/tables": (STORAGE, "Table"),
    "Microsoft.Web/serverfarms": (WEB, "AppServicePlan"),
    "Microsoft.Web/sites": (WEB, "Site"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (WEB, "CsmPublishingCredentialsPoliciesEntity"),
    "Microsoft.Web/sites/config/appsettings": (WEB, "StringDictionary"),
    "Microsoft.Web/sites/config/authsettingsV2": (WEB, "SiteAuthSettingsV2"),
}
SCALARS: dict[Any, str] = {str: "text", bool: "bool", int: "int", float: "number"}
WIRE_NAMES = {"str": "text", "bool": "bool", "int": "int", "long": "int", "float": "number"}


@dataclass(frozen=True)
class Field:
    """A property of a model. `type` is a kind of resource_types.json, a model, or what holds the fields of an object
    that the model has taken apart.
    """

    type: Any
    suffix: str = ""
    is_read_only: bool = False
    is_required: bool = False

    @property
    def kind(self) -> str | list[str]:
        if self.is_read_only:
            return "read-only"
        if isinstance(self.type, list):
            return self.type
        name = self.type if isinstance(self.type, str) else "object"
        return f"{name}{self.suffix}" + "!" * self.is_required


def fields_of(model: Any, value: Mapping[str, Any]) -> dict[str, Field]:
    """The properties of a model, or of the kind of it that `value` says it is."""
    if isinstance(model, dict):
        return model
    return _older_fields(model, value) if hasattr(model, "_attribute_map") else _newer_fields(model, value)


def _older_fields(model: Any, value: Mapping[str, Any]) -> dict[str, Field]:
    """Of a model of AutoRest: its attributes have paths, of which some lead through objects without a model."""
    models = importlib.import_module(model.__module__.rpartition(".")[0])
    for attribute, kinds in (vars(model).get("_subtype_map") or {}).items():
        name = kinds.get(value.get(model._attribute_map[attribute]["key"]))
        if name:
            return _older_fields(getattr(models, name), value)
    module = importlib.import_module(model.__module__)
    names = {**vars(typing), "datetime": datetime, **vars(module), "_models": models}
    found: dict[str, Any] = {}
    for attribute, wire in model._attribute_map.items():
        *above, name = (each.replace("\\", "") for each in re.split(r"(?<!\\)\.", wire["key"]))
        limits = model._validation.get(attribute, {})
        place = found
        for each in above:
            place = place.setdefault(each, Field({})).type
        suffix = "[]" if wire["type"].startswith("[") else "{}" if wire["type"].startswith("{") else ""
        inner = wire["type"].strip("[]{}")
        kind = _kind(getattr(models, inner, WIRE_NAMES.get(inner, "any")))
        annotation = model.__init__.__annotations__.get(attribute)
        if kind == "text" and annotation is not None:  # Only there stands that it is an enumeration.
            kind = _kind(_unwrapped(annotation, names)[0])
        place[name] = Field(
            kind,
            suffix,
            bool(limits.get("readonly")),
            bool(limits.get("required")),
        )
    return found


def _newer_fields(model: Any, value: Mapping[str, Any]) -> dict[str, Field]:
    """Of a model of TypeSpec: its attributes are fields with types."""
    model.__new__(model)  # It collects its fields then.
    for each in model._attr_to_rest_field.values():
        narrower = getattr(model, "__mapping__", {}).get(value.get(each._rest_name)) if each._is_discriminator else None
        if narrower not in {None, model}:
            return _newer_fields(narrower, value)
    module = importlib.import_module(model.__module__)
    models = importlib.import_module(model.__module__.rpartition(".")[0])
    names = {**vars(typing), "datetime": datetime, **vars(module), "_models": models}
    annotations: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        annotations.update(vars(base).get("__annotations__", {}))
    found = {}
    for attribute, each in model._attr_to_rest_field.items():
        annotation = _resolved(annotations[attribute], names)
        is_optional = type(None) in typing.get_args(annotation)
        inner, suffix = _unwrapped(annotation, names)
        found[each._rest_name] = Field(_kind(inner), suffix, each._visibility == ["read"], not is_optional)
    return found


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    while isinstance(annotation, str | typing.ForwardRef):
        source = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        annotation = eval(source, names)  # noqa: S307
    return annotation


def _unwrapped(annotation: Any, names: dict[str, Any]) -> tuple[Any, str]:
    """The innermost type of an annotation, and `[]` or `{}` around it."""
    annotation = _resolved(annotation, names)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        known = [_resolved(each, names) for each in arguments if each is not type(None)]
        return _unwrapped(next((each for each in known if _is_enum(each)), known[0]), names)
    if origin in {list, dict}:
        return _unwrapped(arguments[-1], names)[0], "[]" if origin is list else "{}"
    return (str if origin is typing.Literal else annotation), ""


def _kind(kind: Any) -> Any:
    """A scalar's name, an enumeration's values, or the model itself."""
    if isinstance(kind, str):
        return kind
    if _is_enum(kind):
        return sorted(each.value for each in kind)
    is_model = hasattr(kind, "_attribute_map") or ".models" in getattr(kind, "__module__", "")
    return kind if is_model else SCALARS.get(kind, "any")


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def note(found: dict[str, dict[str, Any]], place: str, model: Any, value: Any) -> None:
    """Note the model of a place, and those of the places below it that `value` has."""
    if isinstance(model, str | list) or isinstance(value, Runtime) or not isinstance(value, dict):
        return
    fields = fields_of(model, value)
    noted = found.setdefault(place, {})
    noted.update({name: each.kind for name, each in fields.items()})
    for name, inner in value.items():
        each = fields.get(name)
        if each is None:
            continue
        if each.suffix == "[]":
            for item in inner:
                note(found, f"{place}.{name}[]", each.type, item)
        elif each.suffix == "{}":
            for item in inner.values():
                note(found, f"{place}.{name}.*", each.type, item)
        else:
            note(found, f"{place}.{name}", each.type, inner)


def main() -> None:
    """Write the file."""
    found: dict[str, dict[str, Any]] = {}
    deployments = [deploy_main(**values) for values in VARIANTS.values()]
    for resource in [each for one in (*deployments, deploy_event_subscriptions()) for each in one.resources]:
        place = type_name(resource)
        module, name = MODELS[place]
        note(found, place, getattr(importlib.import_module(f"{module}.models"), name), resource.body)
    content = {"source": "models of azure-mgmt-* and azure-ai-ml (MIT)", "types": dict(sorted(found.items()))}
    PATH.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
