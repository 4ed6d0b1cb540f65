"""Event Grid: event schema, subscription filters, handshake, delivery, dead letters."""
