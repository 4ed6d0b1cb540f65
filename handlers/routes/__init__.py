"""The routes of the HTTP API, one module for each resource. `handlers/http/table.py` tells how to add one."""
