"""Watches and parses the projected token file. Independent of AWS."""
