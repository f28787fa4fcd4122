"""Builds the container image and says what is in it; ``docs/image.md`` is the page about it.

Only ``imports`` runs inside an image, ``assemble`` in the build stage, and the rest in a checkout. Nothing here is part
of the program, and all of it needs the standard library alone.
"""
