"""The steps that run on Azure Machine Learning compute."""
