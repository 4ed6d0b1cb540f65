"""The regions of the local cloud.

Names and places are as `GET /subscriptions/{id}/locations` answers them
(https://learn.microsoft.com/rest/api/resources/subscriptions/list-locations).
"""

from __future__ import annotations

from dataclasses import dataclass

from local.cloud.errors import BadRequestError
from local.cloud.resources import Json


@dataclass(frozen=True)
class Region:
    """A region: where it is (degrees north, degrees east), and the region that it is paired with.

    A logical region, such as `europe`, is no place: nothing can be made in it.
    """

    name: str
    display_name: str
    geography: str
    latitude: float | None = None
    longitude: float | None = None
    paired: str | None = None

    @property
    def is_physical(self) -> bool:
        return self.latitude is not None

    def document(self, subscription: str) -> Json:
        """As ARM answers it; latitude and longitude are texts there."""
        prefix = f"/subscriptions/{subscription}/locations"
        metadata: Json = {
            "regionType": "Physical" if self.is_physical else "Logical",
            "regionCategory": "Recommended" if self.is_physical else "Other",
            "geographyGroup": self.geography,
        }
        if self.is_physical:
            metadata.update(latitude=f"{self.latitude:g}", longitude=f"{self.longitude:g}")
            metadata["pairedRegion"] = [{"name": self.paired, "id": f"{prefix}/{self.paired}"}]
        return {
            "id": f"{prefix}/{self.name}",
            "name": self.name,
            "type": "Region",
            "displayName": self.display_name,
            "regionalDisplayName": f"({self.geography}) {self.display_name}",
            "metadata": metadata,
        }


REGIONS = (
    Region("westeurope", "West Europe", "Europe", 52.3667, 4.9, "northeurope"),
    Region("northeurope", "North Europe", "Europe", 53.3478, -6.2597, "westeurope"),
    Region("swedencentral", "Sweden Central", "Europe", 60.67488, 17.14127, "swedensouth"),
    Region("francecentral", "France Central", "Europe", 46.3772, 2.373, "francesouth"),
    Region("germanywestcentral", "Germany West Central", "Europe", 50.110924, 8.682127, "germanynorth"),
    Region("uksouth", "UK South", "Europe", 50.941, -0.799, "ukwest"),
    Region("eastus", "East US", "US", 37.3719, -79.8164, "westus"),
    Region("eastus2", "East US 2", "US", 36.6681, -78.3889, "centralus"),
    Region("southcentralus", "South Central US", "US", 29.4167, -98.5, "northcentralus"),
    Region("europe", "Europe", "Europe"),
    Region("unitedstates", "United States", "US"),
)


def region_name(location: str) -> str:
    """`West Europe` and `westeurope` are the same region."""
    return location.replace(" ", "").lower()


def find_region(location: str) -> Region | None:
    """The physical region of that name."""
    return next((region for region in REGIONS if region.is_physical and region.name == region_name(location)), None)


def require_region(location: str, resource_type: str) -> Region:
    """The region that a resource is to be made in. Raises BadRequestError, in ARM's words, when there is none:
    https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
    """
    region = find_region(location)
    if region is None:
        raise BadRequestError(
            f"The provided location '{location}' is not available for resource type '{resource_type}'. "
            f"List of available regions for the resource type is '{_physical(',')}'.",
            code="LocationNotAvailableForResourceType",
        )
    return region


def require_listed(location: str, resource_type: str, api_version: str) -> Region:
    """The region that is asked about. Raises BadRequestError, in ARM's words, when there is none:
    https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
    """
    region = find_region(location)
    if region is None:
        raise BadRequestError(
            f"No registered resource provider found for location '{location}' and API version '{api_version}' for type "
            f"'{resource_type}'. The supported locations are '{_physical(', ')}'.",
            code="NoRegisteredProviderFound",
        )
    return region


def _physical(separator: str) -> str:
    return separator.join(region.name for region in REGIONS if region.is_physical)
