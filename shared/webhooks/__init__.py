"""Webhooks: what the app announces, delivered to subscribers over https, for those without Event Grid.

    subscriptions   who gets what, kept in the ledger's table, with the secrets that deliveries are signed with
    subscribing     what the API does with them
    delivering      the queue of deliveries: one message for each event and subscription, until it is taken
    addresses       where a delivery may go
    sending         one request, to an address that was judged, within a time
    signing         the signature, by which a receiver knows who sent it

A delivery comes at least once, in any order, always with the event's id; a receiver drops what has an earlier one's id.
"""
