"""Local stand-in for Azure Resource Manager, Azure Machine Learning, Event Grid, managed identity and storage events.

Layers: `wire` speaks HTTP, `rules` are what Azure Resource Manager and Azure ML decide, `storage` is the proxy in front
of Azurite, `eventgrid` filters and delivers events, `jobs` runs pipelines as processes.
"""
