"""The local cloud and the local Functions host. Product code never imports this package."""
