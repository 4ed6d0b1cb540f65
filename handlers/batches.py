"""The timer that makes batches of what waits, and brings them forward; and trainings, whose events may be lost."""

import azure.functions as func

from shared.clients import clients
from shared.settings import configured

blueprint = func.Blueprint()


@blueprint.timer_trigger("timer", configured("batch_interval"))
def dispatch_batches(timer: func.TimerRequest) -> None:
    from shared.batches import dispatch
    from shared.ledger import Ledger
    from shared.training import look_after_trainings

    known = clients()
    try:
        dispatch(known, Ledger(known.tables))
    finally:
        look_after_trainings(known)
