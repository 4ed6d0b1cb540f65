"""An app whose blob trigger polls."""

import azure.functions as func

app = func.FunctionApp()


@app.blob_trigger(arg_name="blob", path="images/{name}", connection="AzureWebJobsStorage")
def on_blob(blob: func.InputStream) -> None:
    pass
