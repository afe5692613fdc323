"""Triage: is a checkpoint worth a full run? Four rungs, cheapest first, each a module of pure functions."""
