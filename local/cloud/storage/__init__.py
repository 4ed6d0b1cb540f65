"""Storage: the streaming proxy in front of Azurite, and the cloud's own access to blobs."""
