"""The demo: the whole loop, as an outside client sees it, over HTTP and the storage protocol alone."""
