"""Extractions against references: hashes, measures, searches and the stage that runs them."""
