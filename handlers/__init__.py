"""One module per trigger family: decode the event, call `shared`, encode the answer."""
