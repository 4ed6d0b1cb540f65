"""Where a blob is, as exports spell it."""

import pytest

from shared.errors import InvalidRequestError
from shared.locations import BlobLocation, Datastores, datastore_name, locate

ACCOUNT = "https://acct.blob.core.windows.net/"
LOCAL_ACCOUNT = "https://127.0.0.1:4433/devstoreaccount1"
STORES = Datastores({"fruit": "fruit-photos", "workspaceblobstore": "azureml-blobstore-1"}, "S", "R", "W")
LONG = "azureml://subscriptions/S/resourcegroups/R/workspaces/W/datastores/fruit/paths/a/b.jpg"


@pytest.mark.parametrize(
    "url",
    [
        "AmlDatastore://fruit/a/b.jpg",
        "azureml://datastores/fruit/paths/a/b.jpg",
        LONG,
        LONG.replace("workspaces", "providers/Microsoft.MachineLearningServices/workspaces"),
        "https://acct.blob.core.windows.net/fruit-photos/a/b.jpg",
        "https://ACCT.blob.core.windows.net/fruit-photos/a%2Fb.jpg?sv=secret",
    ],
)
def test_every_spelling_leads_to_the_blob(url: str) -> None:
    assert locate(url, STORES, account_url=ACCOUNT) == BlobLocation("fruit-photos", "a/b.jpg")


def test_a_path_style_account_is_told_by_its_path() -> None:
    assert locate(f"{LOCAL_ACCOUNT}/c/x.jpg", STORES, account_url=LOCAL_ACCOUNT) == BlobLocation("c", "x.jpg")
    with pytest.raises(InvalidRequestError):
        locate("https://127.0.0.1:4433/devstoreaccount12/c/x.jpg", STORES, account_url=LOCAL_ACCOUNT)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("AmlDatastore://veg/a.jpg", "there is no blob datastore veg; there are fruit, workspaceblobstore"),
        (LONG.replace("/W/", "/other/"), "is in workspace other of resource group R, subscription S, not in W of R, S"),
        ("https://evil.example/fruit-photos/a.jpg", "is no blob of the storage account"),
        ("https://acct.blob.core.windows.net/fruit-photos", "is no blob of the storage account"),
        ("http://169.254.169.254/metadata", "is no blob of the storage account"),
        ("AmlDatastore://fruit/../other/a.jpg", "has an empty, '.' or '..' segment"),
        ("https://acct.blob.core.windows.net/fruit-photos/%2e%2e/a.jpg", "has an empty, '.' or '..' segment"),
        ("https://[evil/fruit-photos/a.jpg", "is no URL"),
        ("https://acct.blob.core.windows.net\N{FULLWIDTH SOLIDUS}/fruit-photos/a.jpg", "is no URL"),
        ("file:///etc/passwd", "must be AmlDatastore://"),
        ("", "(empty)"),
    ],
)
def test_anything_else_is_refused_and_named(url: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        locate(url, STORES, account_url=ACCOUNT)
    assert reason in str(refusal.value)


def test_a_blob_has_a_uri_in_the_datastore_that_shows_its_container() -> None:
    assert STORES.uri(BlobLocation("fruit-photos", "a/b.jpg")) == LONG
    with pytest.raises(InvalidRequestError, match="container elsewhere has no datastore"):
        STORES.uri(BlobLocation("elsewhere", "x"))
    assert datastore_name("my-images") == "my_images"
