"""Where identity comes in: the projected token file, watched and parsed. Knows nothing of AWS."""
