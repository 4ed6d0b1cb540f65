"""An app with one function whose settings are missing, and one that is fine."""

import azure.functions as func

app = func.FunctionApp()


@app.queue_trigger(arg_name="message", queue_name="%NAME_OF_THE_QUEUE%", connection="AzureWebJobsStorage")
def no_queue_name(message: func.QueueMessage) -> None:
    pass


@app.queue_trigger(arg_name="message", queue_name="work", connection="NO_SUCH_CONNECTION")
def no_connection(message: func.QueueMessage) -> None:
    pass


@app.route(route="fine", auth_level=func.AuthLevel.ANONYMOUS)
def fine(req: func.HttpRequest) -> str:
    return "fine"
