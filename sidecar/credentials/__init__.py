"""Keeps the credentials of each profile fresh.

May use ``model``, ``errors``, ``clock``, ``limits``; never ``exchange`` or ``tokens``: ``daemon`` connects them.
"""
