"""An app with a binding that the local host does not have."""

import azure.functions as func

app = func.FunctionApp()


@app.route(route="row")
@app.table_output(arg_name="row", table_name="rows", connection="AzureWebJobsStorage")
def add_row(req: func.HttpRequest, row: func.Out[str]) -> str:
    return "added"
