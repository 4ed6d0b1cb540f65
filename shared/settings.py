"""All settings, read once from the environment; every error names the setting, its value and what was expected."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import SettingsError

Parser = Callable[[str], Any]


def _integer(minimum: int, maximum: int) -> Parser:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = minimum - 1
        if not minimum <= number <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return number

    return parse


def _number(minimum: float, maximum: float) -> Parser:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not minimum <= number <= maximum:
            raise ValueError(f"a number from {minimum:g} to {maximum:g}")
        return number

    return parse


def _pattern(pattern: str, expectation: str) -> Parser:
    # Compiled where it is used: every cold start would pay for all of them.
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(expectation)
        return value

    return parse


def _list_of(allowed: tuple[str, ...], *, none: str | None = None) -> Parser:
    """`none`: the word for the empty list."""

    def parse(value: str) -> tuple[str, ...]:
        if value == none:
            return ()
        items = tuple(item.strip() for item in value.split(",") if item.strip())
        if not items or not set(items) <= set(allowed):
            alone = f"{none}, or " if none else ""
            raise ValueError(f"{alone}one or several, with commas between, of {', '.join(allowed)}")
        return items

    return parse


def _one_of(*allowed: str) -> Parser:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value

    return parse


def _hosts(value: str) -> tuple[str, ...]:
    """Names in small letters, and networks."""
    import ipaddress

    hosts = tuple(each.strip().lower().rstrip(".") for each in value.split(",") if each.strip())
    for each in hosts:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", each):
                raise ValueError("names of hosts and networks, e.g. 10.1.0.0/16, with commas between") from None
    return hosts


def _switch(value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return value.lower() == "true"


def _resource_id(provider_and_type: str) -> Parser:
    shape = "/subscriptions/<id>/resourceGroups/<name>/providers/" + provider_and_type + "/<name>"
    pattern = re.sub(r"<\w+>", "[^/]+", re.escape(shape).replace(re.escape("<"), "<").replace(re.escape(">"), ">"))
    return _pattern(f"(?i){pattern}", f"a resource id: {shape}")


# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_container = _pattern(
    r"(?!.*--)[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]", "a container name: 3 to 63 of a-z, 0-9 and single hyphens"
)
_subscription = _pattern(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a subscription id (a GUID)")
_group = _pattern(
    r"[\w().-]{0,89}[\w()-]", "1 to 90 letters, digits, underscores, parentheses, hyphens and dots, no dot at the end"
)
_region = _pattern(r"[a-z0-9]+", "a region's short name, e.g. westeurope")
_vm_size = _pattern(r"(?i)standard_[a-z0-9_]+", "a VM size, e.g. Standard_NC4as_T4_v3")
_workspace = _pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}", "3 to 33 letters, digits, hyphens or underscores")
_compute = _pattern(
    r"[A-Za-z](?![A-Za-z0-9-]*-\d+$)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "3 to 24 letters, digits or hyphens, a letter first and no hyphen with digits alone at the end",
)
_asset = _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", "1 to 255 letters, digits, hyphens, underscores or dots")

_user_assigned = _resource_id("Microsoft.ManagedIdentity/userAssignedIdentities")


def _compute_identity(value: str) -> str:
    if value.lower() == "systemassigned":
        return "SystemAssigned"
    try:
        return str(_user_assigned(value))
    except ValueError as error:
        raise ValueError(f"SystemAssigned, or {error}") from None


# The model names that AutoML takes for image classification:
# https://learn.microsoft.com/azure/machine-learning/reference-automl-images-hyperparameters
BASE_MODELS = (
    "mobilenetv2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnest50",
    "resnest101",
    "seresnext",
    "vits16r224",
    "vitb16r224",
    "vitl16r224",
)
PROMOTE_METRICS = ("macro_average_precision", "micro_average_precision", "macro_f1", "micro_f1", "iou")
PREDICTION_FORMATS = ("csv", "jsonl", "parquet")
AUTO_MODE = "auto"


def _setting(default: str | None, parse: Parser, about: str, *, empty: Any = "") -> Any:
    """A field of Settings; a default of None means that the setting must be given. `empty` is the value of no text."""
    return dataclasses.field(metadata={"default": default, "parse": parse, "about": about, "empty": empty})


@dataclass(frozen=True)
class Settings:
    """The app settings. A field's environment variable is its name in capitals."""

    azure_subscription_id: str = _setting(None, _subscription, "subscription of all resources")
    azure_resource_group: str = _setting(None, _group, "resource group of all resources")
    azure_location: str = _setting(None, _region, "region of the workspace, e.g. westeurope")
    azureml_workspace_name: str = _setting(None, _workspace, "Azure Machine Learning workspace")
    data_storage_resource_id: str = _setting(
        "",
        _resource_id("Microsoft.Storage/storageAccounts"),
        "resource id of the DATA_STORAGE account (default: that account in the resource group)",
    )
    key_vault_resource_id: str = _setting(
        "", _resource_id("Microsoft.KeyVault/vaults"), "key vault of a new workspace (default: Azure ML makes one)"
    )
    application_insights_resource_id: str = _setting(
        "",
        _resource_id("Microsoft.Insights/components"),
        "Application Insights of a new workspace (default: Azure ML makes one)",
    )
    container_registry_resource_id: str = _setting(
        "",
        _resource_id("Microsoft.ContainerRegistry/registries"),
        "container registry of a new workspace (default: Azure ML makes one with the first image)",
    )
    workspace_data_isolation: bool = _setting(
        "false", _switch, "whether a new workspace's containers bear its id (data isolation)"
    )
    function_app_resource_id: str = _setting(
        "",
        _resource_id("Microsoft.Web/sites"),
        "resource id of this app (default: the app named by WEBSITE_SITE_NAME in the resource group)",
    )
    provisioning: str = _setting(
        "enabled", _one_of("enabled", "disabled"), "`disabled`: the app makes no Azure resources, others do"
    )

    compute_name: str = _setting("gpu-cluster", _compute, "cluster that trains and scores")
    compute_size: str = _setting("Standard_NC4as_T4_v3", _vm_size, "its VM size")
    compute_min_nodes: int = _setting("0", _integer(0, 1000), "its least number of nodes")
    compute_max_nodes: int = _setting("4", _integer(1, 1000), "its greatest number of nodes")
    compute_idle_seconds: int = _setting("600", _integer(60, 86_400), "idle time before a node is given back (s)")
    compute_location: str = _setting("", _region, "its region (default: AZURE_LOCATION)")
    compute_priority: str = _setting(
        "Dedicated", _one_of("Dedicated", "LowPriority"), "`Dedicated`, or `LowPriority`: cheaper, may be taken away"
    )
    compute_subnet_resource_id: str = _setting(
        "",
        _resource_id("Microsoft.Network/virtualNetworks/<network>/subnets"),
        "subnet of its nodes, which then have no public address (default: none)",
    )
    compute_identity: str = _setting(
        "SystemAssigned", _compute_identity, "`SystemAssigned`, or a user-assigned identity's resource id"
    )

    export_quiet_seconds: int = _setting("60", _integer(0, 604_800), "how long an export must be unchanged (s)")
    on_duplicate: str = _setting(
        "unite", _one_of("unite", "refuse"), "an image with several rows: `unite` their labels, or `refuse` the export"
    )
    min_label_confidence: float = _setting(
        "0", _number(0, 1), "rows that a model labelled with less confidence are left out"
    )
    unlabelled: str = _setting(
        "skip",
        _one_of("skip", "negative"),
        "images without labels: `skip`, or `negative`: they have none of the labels",
    )
    base_models: tuple[str, ...] = _setting(
        "vitb16r224",
        _list_of(BASE_MODELS, none=AUTO_MODE),
        "AutoML's base model(s); several are swept over; `auto`: AutoML chooses, with MAX_TRIALS above 1",
    )
    max_trials: int = _setting("1", _integer(1, 1000), "trials of a sweep")
    training_batch_size: int | None = _setting(
        "", _integer(1, 4096), "images that a GPU trains on at once (default: AutoML's own, by model)", empty=None
    )
    validation_batch_size: int | None = _setting(
        "", _integer(1, 4096), "images that a GPU validates at once (default: AutoML's own, by model)", empty=None
    )
    train_incremental: bool = _setting(
        "false", _switch, "whether training goes on from the champion, if it has the same base model"
    )
    onnx_normalization: bool = _setting("false", _switch, "whether the ONNX file itself normalises the images")
    on_newer_export: str = _setting(
        "queue",
        _one_of("queue", "cancel"),
        "an export while one trains: `queue` (the newest waits) or `cancel` that one",
    )
    min_new_labels: int = _setting(
        "1", _integer(0, 1_000_000), "images that must be new, gone or labelled anew since the last training"
    )
    train_timeout_minutes: int = _setting("360", _integer(1, 43_200), "longest training (min)")
    train_ratio: float = _setting(
        "0.8", _number(0.1, 0.98), "share of images for training; the rest is halved into validation and test"
    )
    random_seed: int = _setting("1", _integer(0, 2**31 - 1), "seed of the split and of the training")
    min_images_per_label: int = _setting("10", _integer(1, 1_000_000), "labels with fewer images are left out")

    model_name: str = _setting("multilabel", _asset, "registered model")
    experiment_name: str = _setting("labelloop", _asset, "experiment of all jobs")
    promote_metric: str = _setting(
        "macro_average_precision", _one_of(*PROMOTE_METRICS), "metric that decides between candidate and champion"
    )
    promote_min_gain: float = _setting("0.0", _number(0, 1), "the candidate must be better by more than this")
    promote_always: bool = _setting("false", _switch, "whether a gain that may be chance is enough")
    threshold_objective: str = _setting(
        "f1", _one_of("f1", "precision"), "what the labels' thresholds are tuned for: `f1`, or a floor of `precision`"
    )
    threshold_min_precision: float = _setting("0.9", _number(0, 1), "that floor")

    images_container: str = _setting("images", _container, "container for new images")
    predictions_container: str = _setting("predictions", _container, "container for predictions")
    work_container: str = _setting(
        "labelloop", _container, "container for LabelLoop's own files: data sets, models, batches"
    )
    prediction_formats: tuple[str, ...] = _setting(
        "csv", _list_of(PREDICTION_FORMATS), "file formats of the predictions: `csv`, `jsonl`, `parquet`"
    )

    batch_max_images: int = _setting("5000", _integer(1, 1_000_000), "most images of one batch")
    batch_interval: str = _setting(
        "0 * * * * *",
        _pattern(r"\S+( \S+){5}", "an NCRONTAB expression of six fields, e.g. 0 * * * * *"),
        "when waiting images are looked for (NCRONTAB)",
    )
    batch_quiet_seconds: int = _setting(
        "5", _integer(0, 3600), "how long no further image must have come before a batch that is not full starts (s)"
    )
    batch_max_wait_seconds: int = _setting(
        "300", _integer(0, 86_400), "longest wait for quiet while images keep coming (s)"
    )
    batch_min_images: int = _setting(
        "200",
        _integer(1, 1_000_000),
        "fewer images wait BATCH_MAX_WAIT_SECONDS for more; if none come, they are scored in the app: no node starts",
    )
    batch_timeout_minutes: int = _setting(
        "720", _integer(1, 43_200), "longest scoring job, its wait for nodes included; the rest is tried again (min)"
    )
    inline_max_images: int = _setting("32", _integer(0, 1000), "so many images are scored in the app, without a node")
    events_topic_endpoint: str = _setting(
        "",
        _pattern(r"https://[^\s/]+(/\S*)?", "an https URL"),
        "endpoint of an Event Grid custom topic for announcements (default: none)",
    )
    api_auth: str = _setting(
        "keys",
        _one_of("keys", "entra"),
        "who may call the API: who has a function `keys`, or who signs in to `entra` with an app role",
    )
    webhook_allowed_hosts: tuple[str, ...] = _setting(
        "",
        _hosts,
        "hosts and networks that webhooks may go to although they are not public, and at any port (default: none)",
        empty=(),
    )
    max_attempts: int = _setting("3", _integer(1, 10), "batches that an image may go into before it is an error")
    sweep_interval: str = _setting(
        "0 30 * * * *",
        _pattern(r"\S+( \S+){5}", "an NCRONTAB expression of six fields, e.g. 0 30 * * * *"),
        "when images are looked for whose events were lost (NCRONTAB)",
    )
    # Event Grid tries for a minute or so before it waits for longer; and to take in a burst of images takes a while.
    sweep_grace_minutes: int = _setting("30", _integer(0, 1440), "how old such images are at the least (min)")
    # Pillow refuses more than twice its own limit of 89 megapixels by itself.
    max_image_megapixels: int = _setting("100", _integer(1, 178), "larger images are refused (megapixels)")
    max_image_megabytes: int = _setting("100", _integer(1, 1000), "larger images are refused (MB)")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check all settings. Raises SettingsError for the first that is missing or unusable."""
        settings = cls(**{field.name: _read(field, environment) for field in dataclasses.fields(cls)})
        if settings.compute_min_nodes > settings.compute_max_nodes:
            raise SettingsError(
                "COMPUTE_MIN_NODES",
                f"is {settings.compute_min_nodes}, but COMPUTE_MAX_NODES is {settings.compute_max_nodes}; "
                "it must not be greater",
            )
        containers = (settings.images_container, settings.predictions_container, settings.work_container)
        if len(set(containers)) < len(containers):
            raise SettingsError(
                "IMAGES_CONTAINER",
                f"is {containers[0]!r}, PREDICTIONS_CONTAINER {containers[1]!r}, WORK_CONTAINER {containers[2]!r}; "
                "they must be three different containers",
            )
        settings.check_training()
        return settings

    def check_training(self) -> None:
        """Raises SettingsError for settings of the training that contradict each other."""
        if not self.base_models and self.max_trials < 2:
            raise SettingsError(
                "MAX_TRIALS",
                f"is {self.max_trials}, but BASE_MODELS is {AUTO_MODE}; then it must be at least 2, better 10",
            )
        if self.train_incremental and len(self.base_models) != 1:
            raise SettingsError(
                "TRAIN_INCREMENTAL",
                f"is true, but BASE_MODELS is {','.join(self.base_models) or AUTO_MODE}; it must be one model",
            )

    def with_changes(self, changes: Mapping[str, str]) -> Settings:
        """The same with some settings, by the names of their fields, changed and checked. Raises SettingsError."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        values = {name: _read(fields[name], {name.upper(): value}) for name, value in changes.items()}
        changed = dataclasses.replace(self, **values)
        changed.check_training()
        return changed

    @property
    def cluster_location(self) -> str:
        """Region of the cluster."""
        return self.compute_location or self.azure_location

    @property
    def resource_group_id(self) -> str:
        return f"/subscriptions/{self.azure_subscription_id}/resourceGroups/{self.azure_resource_group}"

    @property
    def workspace_id(self) -> str:
        """ARM id of the workspace."""
        provider = "providers/Microsoft.MachineLearningServices"
        return f"{self.resource_group_id}/{provider}/workspaces/{self.azureml_workspace_name}"


def environment_name(field: dataclasses.Field[Any]) -> str:
    """Name of the environment variable of a field of Settings."""
    return field.name.upper()


def _read(field: dataclasses.Field[Any], environment: Mapping[str, str]) -> Any:
    name = environment_name(field)
    default, parse = field.metadata["default"], field.metadata["parse"]
    value = environment.get(name, "").strip() or default
    if value is None:
        raise SettingsError(name, f"is not set; it must name the {field.metadata['about']}")
    if value == "":
        return field.metadata["empty"]
    try:
        return parse(value)
    except ValueError as error:
        raise SettingsError(name, f"is {value!r}, but must be {error}") from None


def configured(name: str) -> Any:
    """One setting of the process, checked, by its field's name: for triggers, which are declared at import, when a
    setting that is missing elsewhere must not keep the app from loading.
    """
    return _read(Settings.__dataclass_fields__[name], os.environ)


@functools.cache
def settings() -> Settings:
    """The process's settings, from os.environ."""
    return Settings.from_environment(os.environ)
