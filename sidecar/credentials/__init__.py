"""Keeps one fresh set per profile.

May use ``model``, ``errors``, ``clock``, ``limits``; never ``exchange`` or ``tokens``: ``daemon`` joins them.
"""
