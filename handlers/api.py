"""The HTTP API as a whole: the modules whose routes it consists of, and its functions for the host."""

from handlers.http import api
from handlers.routes import (
    batches,
    corrections,
    dashboard,
    exports,
    health,
    images,
    jobs,
    models,
    openapi,
    overview,
    predict,
    predictions,
    provisioning,
    review,
    subscriptions,
    thumbnails,
    unknown_paths,
)
from shared.settings import configured

MODULES = (
    batches,
    corrections,
    dashboard,
    exports,
    health,
    images,
    jobs,
    models,
    openapi,
    overview,
    predict,
    predictions,
    provisioning,
    review,
    subscriptions,
    thumbnails,
    unknown_paths,
)

blueprint = api.blueprint(configured("api_auth"))
unknown_paths.add_to(blueprint)
