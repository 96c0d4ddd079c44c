"""Presets: public archives as their publishers ship them, known by the columns of their tables."""

from tenfold.data.presets.catalog import COLLECTIONS, Collection
from tenfold.data.presets.listing import find_collection, list_preset

__all__ = ["COLLECTIONS", "Collection", "find_collection", "list_preset"]
