"""What goes in and out of the HTTP API, as structs; their docstrings and descriptions stand in the OpenAPI document."""
