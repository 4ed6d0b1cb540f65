"""What roles allow: Azure's wildcards, and the built-in roles as narrow as they are there."""

from __future__ import annotations

import pytest

from local.cloud.access.roles import ROLES, find_role, matches, role_named

ML = "Microsoft.MachineLearningServices/workspaces"
EVENTS = "Microsoft.EventGrid"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"


@pytest.mark.parametrize(
    ("pattern", "action"),
    [
        ("*", f"{ML}/write"),
        ("*/read", f"{ML}/experiments/runs/read"),
        (f"{ML}/*/write", f"{ML}/data/versions/write"),
        (f"{ML}/computes/*/write", f"{ML}/computes/write"),
        (f"{ML.upper()}/*", f"{ML}/jobs/cancel/action"),
        ("Microsoft.Web/sites/*", "microsoft.web/sites/host/listKeys/action"),
    ],
)
def test_a_star_stands_for_any_number_of_parts_and_case_does_not_matter(pattern: str, action: str) -> None:
    assert matches(pattern, action)


@pytest.mark.parametrize(
    ("pattern", "action"),
    [
        ("*/read", f"{ML}/write"),
        ("*/read", f"{ML}/read/action"),
        (f"{ML}/*", "Microsoft.MachineLearningServices/locations/usages/read"),
        (f"{ML}/*", f"{ML}x/read"),
        (f"{BLOBS}/read", f"{BLOBS}/blobs/read"),
        ("Microsoft.Web/sites/*", "MicrosoftxWeb/sites/read"),
    ],
)
def test_a_pattern_names_nothing_else(pattern: str, action: str) -> None:
    assert not matches(pattern, action)


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        ("Owner", "Microsoft.Authorization/roleAssignments/write", None),
        ("Contributor", f"{ML}/write", "Microsoft.Authorization/roleAssignments/write"),
        (
            "Contributor",
            "Microsoft.Authorization/roleAssignments/read",
            "Microsoft.Authorization/roleAssignments/delete",
        ),
        ("Reader", f"{ML}/datastores/read", f"{ML}/datastores/listSecrets/action"),
        ("AzureML Data Scientist", f"{ML}/jobs/write", f"{ML}/write"),
        ("AzureML Data Scientist", f"{ML}/computes/read", f"{ML}/computes/write"),
        ("AzureML Data Scientist", f"{ML}/datastores/listSecrets/action", f"{ML}/listKeys/action"),
        ("AzureML Compute Operator", f"{ML}/computes/write", f"{ML}/jobs/write"),
        ("EventGrid Contributor", f"{EVENTS}/systemTopics/eventSubscriptions/write", f"{ML}/read"),
        ("Website Contributor", "Microsoft.Web/sites/host/listKeys/action", "Microsoft.Web/serverFarms/write"),
        (
            "Managed Identity Operator",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
        ),
        (
            "LabelLoop quota reader",
            "Microsoft.MachineLearningServices/locations/usages/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ),
    ],
)
def test_a_role_allows_what_it_does_in_azure_and_no_more(role: str, allowed: str, refused: str | None) -> None:
    assert role_named(role).allows(allowed)
    assert refused is None or not role_named(role).allows(refused)


def test_management_and_data_are_apart() -> None:
    assert not role_named("Owner").allows(f"{BLOBS}/blobs/read", data=True)
    contributor = role_named("Storage Blob Data Contributor")
    assert contributor.allows(f"{BLOBS}/blobs/write", data=True)
    assert contributor.allows(f"{BLOBS}/write")
    assert not contributor.allows(f"{BLOBS}/blobs/write")


def test_a_role_is_found_by_any_form_of_its_id() -> None:
    reader = role_named("Reader")
    for prefix in ("", "/providers/Microsoft.Authorization/roleDefinitions/", "/subscriptions/s/x/roleDefinitions/"):
        assert find_role(prefix + reader.guid.upper()) is reader
    assert find_role("00000000-0000-0000-0000-000000000000") is None
    assert len({role.guid for role in ROLES}) == len({role.name for role in ROLES}) == len(ROLES)
