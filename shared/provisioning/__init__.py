"""The desired Azure resources, and making them so: planned, checked, carried out from a queue, resumable, reported."""

from shared.provisioning.work import (
    Work,
    carry_out,
    give_up,
    note_request,
    plan_report,
    provisioning_report,
    request_deletion,
    request_provisioning,
)

__all__ = [
    "Work",
    "carry_out",
    "give_up",
    "note_request",
    "plan_report",
    "provisioning_report",
    "request_deletion",
    "request_provisioning",
]
