"""Review: people judge images blinded; decisions are kept, agreed on and handed to the manifest's readers."""
