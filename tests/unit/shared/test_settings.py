"""Settings, read from an environment."""

import pytest

from shared.errors import SettingsError
from shared.settings import Settings, configured
from tests.support import REQUIRED, make_settings


def test_defaults_are_those_of_the_contract() -> None:
    settings = make_settings()
    assert settings.compute_name == "gpu-cluster"
    assert settings.compute_size == "Standard_NC4as_T4_v3"
    assert settings.base_models == ("vitb16r224",)
    assert settings.inline_max_images == 32
    assert settings.batch_max_images == 5000
    assert settings.train_ratio == 0.8
    assert settings.cluster_location == "westeurope"
    assert make_settings(compute_location="northeurope").cluster_location == "northeurope"


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_required_setting_that_is_missing_is_named(name: str) -> None:
    environment = {key: value for key, value in REQUIRED.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name}: is not set"):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("name", "value", "expectation"),
    [
        ("BATCH_MAX_IMAGES", "many", "a whole number from 1 to 1000000"),
        ("BATCH_MAX_IMAGES", "0", "a whole number from 1 to 1000000"),
        ("TRAIN_RATIO", "1", "a number from 0.1 to 0.98"),
        ("TRAIN_RATIO", "most", "a number from 0.1 to 0.98"),
        ("BASE_MODELS", "vitb16r224,gpt", "one or several, with commas between, of mobilenetv2"),
        ("BASE_MODELS", ",", "one or several"),
        ("PROMOTE_METRIC", "accuracy", "one of macro_average_precision"),
        ("IMAGES_CONTAINER", "My Images", "a container name"),
        ("IMAGES_CONTAINER", "my--images", "a container name"),
        ("BATCH_INTERVAL", "* * *", "an NCRONTAB expression of six fields"),
        ("ON_DUPLICATE", "keep", "one of unite, refuse"),
        ("MIN_LABEL_CONFIDENCE", "2", "a number from 0 to 1"),
        ("UNLABELLED", "keep", "one of skip, negative"),
        ("TRAIN_INCREMENTAL", "perhaps", "true or false"),
        ("ON_NEWER_EXPORT", "stop", "one of queue, cancel"),
        ("MIN_NEW_LABELS", "-1", "a whole number from 0"),
        ("PROMOTE_ALWAYS", "1", "true or false"),
        ("THRESHOLD_OBJECTIVE", "recall", "one of f1, precision"),
        ("THRESHOLD_MIN_PRECISION", "90", "a number from 0 to 1"),
        ("ONNX_NORMALIZATION", "on", "true or false"),
        ("MAX_TRIALS", "1001", "a whole number from 1 to 1000"),
        ("TRAINING_BATCH_SIZE", "0", "a whole number from 1 to 4096"),
        ("VALIDATION_BATCH_SIZE", "auto", "a whole number from 1 to 4096"),
        ("PREDICTION_FORMATS", "xlsx", "of csv, jsonl, parquet"),
        ("AZUREML_WORKSPACE_NAME", "w", "3 to 33 letters"),
        ("COMPUTE_NAME", "cluster-1", "no hyphen with digits alone at the end"),
        ("COMPUTE_NAME", "gp", "3 to 24 letters"),
        ("COMPUTE_SIZE", "NC6", "a VM size, e.g. Standard_NC4as_T4_v3"),
        ("COMPUTE_PRIORITY", "Spot", "one of Dedicated, LowPriority"),
        ("COMPUTE_IDENTITY", "me", "SystemAssigned, or a resource id: /subscriptions/<id>/"),
        ("COMPUTE_SUBNET_RESOURCE_ID", "/subnet", "virtualNetworks/<network>/subnets/<name>"),
        ("AZURE_LOCATION", "West Europe", "a region's short name, e.g. westeurope"),
        ("AZURE_SUBSCRIPTION_ID", "mine", "a subscription id (a GUID)"),
        ("AZURE_RESOURCE_GROUP", "group.", "no dot at the end"),
        ("DATA_STORAGE_RESOURCE_ID", "account", "a resource id: /subscriptions/<id>/resourceGroups/<name>/providers/"),
        ("WORKSPACE_DATA_ISOLATION", "yes", "true or false"),
        ("PROVISIONING", "off", "one of enabled, disabled"),
        ("EVENTS_TOPIC_ENDPOINT", "http://topic", "an https URL"),
        ("WEBHOOK_ALLOWED_HOSTS", "10.0.0.1/8", "names of hosts and networks, e.g. 10.1.0.0/16"),
    ],
)
def test_an_unusable_value_is_refused_with_what_was_expected(name: str, value: str, expectation: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment({**REQUIRED, name: value})
    assert f"setting {name}: is {value!r}, but must be" in str(refusal.value)
    assert expectation in str(refusal.value)
    assert refusal.value.setting == name


def test_auto_mode_needs_several_trials() -> None:
    assert make_settings(base_models="auto", max_trials=10).base_models == ()
    with pytest.raises(SettingsError, match="MAX_TRIALS: is 1, but BASE_MODELS is auto; then it must be at least 2"):
        make_settings(base_models="auto")


def test_training_goes_on_from_a_champion_with_one_base_model_only() -> None:
    assert make_settings(train_incremental="true").train_incremental
    with pytest.raises(SettingsError, match="TRAIN_INCREMENTAL: is true, but BASE_MODELS is vits16r224,resnet50"):
        make_settings(train_incremental="true", base_models="vits16r224,resnet50")


def test_settings_can_be_changed_for_one_request_and_are_checked_as_ever() -> None:
    settings = make_settings()
    changed = settings.with_changes({"base_models": "resnet50", "max_trials": "4"})
    assert (changed.base_models, changed.max_trials) == (("resnet50",), 4)
    assert changed.model_name == settings.model_name
    with pytest.raises(SettingsError, match="MAX_TRIALS: is '0'"):
        settings.with_changes({"max_trials": "0"})


def test_lists_are_read_with_or_without_blanks() -> None:
    assert make_settings(base_models="vits16r224, vitb16r224").base_models == ("vits16r224", "vitb16r224")
    assert make_settings(prediction_formats="csv,jsonl").prediction_formats == ("csv", "jsonl")


def test_one_setting_can_be_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCH_INTERVAL", raising=False)
    assert configured("batch_interval") == "0 * * * * *"
    monkeypatch.setenv("BATCH_INTERVAL", "*/5 * * * * *")
    assert configured("batch_interval") == "*/5 * * * * *"


def test_identities_and_switches_are_read_in_any_case() -> None:
    identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
    assert make_settings(compute_identity="systemassigned").compute_identity == "SystemAssigned"
    assert make_settings(compute_identity=identity).compute_identity == identity
    assert make_settings(workspace_data_isolation="True").workspace_data_isolation is True


def test_a_cluster_can_not_have_more_nodes_at_least_than_at_most() -> None:
    with pytest.raises(SettingsError, match="COMPUTE_MIN_NODES: is 5, but COMPUTE_MAX_NODES is 4"):
        make_settings(compute_min_nodes=5, compute_max_nodes=4)


@pytest.mark.parametrize("name", ["images_container", "predictions_container"])
def test_two_containers_can_not_be_the_same(name: str) -> None:
    with pytest.raises(SettingsError, match="they must be three different containers"):
        make_settings(**{name: "labelloop"})
