"""Walks the chain from the application to AWS, and names the link that is broken. Never used by the daemon.

One file in ``checks`` is one link; ``table`` lists them in the chain's order.
"""
