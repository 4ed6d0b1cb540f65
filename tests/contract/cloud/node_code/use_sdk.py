"""A command node of the contract tests: registers a model with the unmodified SDK and the node's identity."""

import os
import sys

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import DefaultAzureCredential

workspace = (os.environ[f"AZUREML_ARM_{name}"] for name in ("SUBSCRIPTION", "RESOURCEGROUP", "WORKSPACE_NAME"))
client = MLClient(DefaultAzureCredential(), *workspace)
path = "azureml://datastores/workspaceblobstore/paths/letters"
model = client.models.create_or_update(Model(name=sys.argv[1], path=path, type="custom_model"))
print("registered", model.version)
