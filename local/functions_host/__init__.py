"""A local Azure Functions host for Python v2 apps, around the official worker library `azure-functions-runtime`.

It stands where the Functions host process stands in Azure: it listens (HTTP, storage queues, Event Grid, timers) and
asks the worker to run functions. It knows nothing of any app. Behaviour follows the source of the real host and its
extensions (Azure/azure-functions-host, Azure/azure-webjobs-sdk-extensions, and in Azure/azure-sdk-for-net the
`Microsoft.Azure.WebJobs.Extensions.*` packages); where a docstring says "the real host", it means these.
"""
