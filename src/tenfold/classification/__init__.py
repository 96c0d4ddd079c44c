"""Classification: classifier arms trained on manifests, predictions written as a table."""
