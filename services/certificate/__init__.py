"""How wrong the labels of a set of pairs are, as people's answers to uniformly drawn pairs let one say."""
