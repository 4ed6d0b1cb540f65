"""The local Functions host, run as a process against real Azurite, with sample apps of its own."""
