"""Ingest: read listings from their sources and store them as papers."""
