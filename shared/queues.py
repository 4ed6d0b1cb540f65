"""Names of the queues between the triggers, all in the data account."""

PROVISION = "provision"
LABEL_EXPORTS = "label-exports"
JOB_EVENTS = "job-events"
ANNOUNCEMENTS = "announcements"
RESCORE = "rescore"
FOUND_IMAGES = "found-images"
WEBHOOKS = "webhooks"
QUEUES = (PROVISION, LABEL_EXPORTS, JOB_EVENTS, ANNOUNCEMENTS, RESCORE, FOUND_IMAGES, WEBHOOKS)
# Where the host puts a message that was taken up in vain for maxDequeueCount times:
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#poison-messages
POISONED_PROVISION = f"{PROVISION}-poison"
POISONED_FOUND_IMAGES = f"{FOUND_IMAGES}-poison"
# Where the blob trigger puts what it could not process:
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-blob-trigger#poison-blobs
POISONED_BLOBS = "webjobs-blobtrigger-poison"
