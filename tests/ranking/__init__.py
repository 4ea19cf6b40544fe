"""Tests of room 2."""
