"""Thresholds from the data at hand: known copies and known strangers."""
