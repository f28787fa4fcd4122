"""Tests of the local world itself: it must refuse what AWS refuses."""
