"""Leakage rates with their denominators, weights, intervals and corrections."""
