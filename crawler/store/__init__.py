"""Downloads: resumed, verified, kept by their content, within a budget."""

from crawler.store.store import Store, open_store

__all__ = ["Store", "open_store"]
