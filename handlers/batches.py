"""The timer that makes batches of what waits, and brings them forward."""

import azure.functions as func

from shared.clients import clients
from shared.settings import configured

blueprint = func.Blueprint()


@blueprint.timer_trigger("timer", configured("batch_interval"))
def dispatch_batches(timer: func.TimerRequest) -> None:
    from shared.batches import dispatch
    from shared.ledger import Ledger

    known = clients()
    dispatch(known, Ledger(known.tables))
