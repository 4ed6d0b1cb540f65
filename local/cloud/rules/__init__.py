"""What Azure Resource Manager and Azure Machine Learning decide. Nothing here knows of HTTP."""
