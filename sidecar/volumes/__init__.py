"""Files on memory volumes: auth tokens, ``credentials.json`` and the saved state."""
