"""Builds the container image and lists its content; ``docs/image.md`` describes it.

Only ``imports`` runs inside an image, ``assemble`` in the build stage, and the rest in a checkout. Nothing here is part
of the program, and all of it needs only the standard library.
"""
