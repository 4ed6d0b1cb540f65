"""The function app: registers the handlers' blueprints, nothing else."""

import azure.functions as func

from handlers import announcements, api, batches, dead_letters, images, job_events, label_exports, provision, webhooks

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (
    provision,
    label_exports,
    images,
    batches,
    job_events,
    dead_letters,
    announcements,
    webhooks,
    api,
):
    app.register_functions(module.blueprint)
