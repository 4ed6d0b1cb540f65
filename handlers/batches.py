"""The timer that makes batches of what waits and brings them forward, and looks after re-scorings and trainings, whose
messages may be lost; and the queue trigger that plans re-scorings.
"""

import contextlib

import azure.functions as func

from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.settings import configured

blueprint = func.Blueprint()


@blueprint.timer_trigger("timer", configured("batch_interval"))
def dispatch_batches(timer: func.TimerRequest) -> None:
    from shared.batches import dispatch
    from shared.ledger import Ledger
    from shared.rescoring import look_after_rescorings
    from shared.training import look_after_trainings

    known = clients()
    ledger = Ledger(known.tables)
    # None of them keeps the others from being done.
    with contextlib.ExitStack() as stack:
        stack.callback(look_after_trainings, known)
        stack.callback(look_after_rescorings, known, ledger)
        dispatch(known, ledger)


@blueprint.queue_trigger("message", queues.RESCORE, DATA_STORAGE)
def plan_rescorings(message: func.QueueMessage) -> None:
    from shared import rescoring
    from shared.ledger import Ledger

    known = clients()
    rescoring.plan_rescorings(known, Ledger(known.tables))
