"""The function app: registers the handlers' blueprints, nothing else."""

import azure.functions as func

from handlers import api, batches, images, job_events, label_exports, provision

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (provision, label_exports, images, batches, job_events, api):
    app.register_functions(module.blueprint)
