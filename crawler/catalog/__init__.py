"""What the hubs offer, as far as it has been read: one database, written page by page."""

from crawler.catalog.catalog import Catalog, CatalogError
from crawler.catalog.walks import ShardRow, Walk

__all__ = ["Catalog", "CatalogError", "ShardRow", "Walk"]
