"""Tests of digest.ranking."""
