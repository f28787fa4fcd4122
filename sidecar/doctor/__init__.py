"""Checks everything between the application and AWS, and names the cause of a failure. Never used by the daemon.

One file in ``checks`` is one check; ``table`` lists them in the order from the application to AWS.
"""
