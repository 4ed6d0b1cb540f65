"""HTTP: routes, decoding, encoding, errors."""
