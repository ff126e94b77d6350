"""One module for each format of a row; each gives the canonical record."""
