"""Runnable examples; `examples.local` is the whole world on one machine."""
