"""What comes out of a run: exports, cards, and where runs are read."""
