"""Azure Machine Learning jobs: plans of pipelines, and their nodes as processes."""
