"""The timer that puts back what Event Grid could not deliver."""

import azure.functions as func

from shared.clients import clients

blueprint = func.Blueprint()


@blueprint.timer_trigger("timer", "0 */5 * * * *")
def return_dead_letters(timer: func.TimerRequest) -> None:
    from shared.ledger import Ledger
    from shared.recovery import put_back_dead_letters

    known = clients()
    put_back_dead_letters(known, Ledger(known.tables))
