"""Generation: requests planned first, then drawn batch by batch with provenance."""
