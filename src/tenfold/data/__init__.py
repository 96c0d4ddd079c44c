"""Data: manifest, importers, images, splits, subsets, captions, transforms and the phantom."""
