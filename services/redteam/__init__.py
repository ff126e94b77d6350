"""Red team: prompts that attack, answers classed by whether they refuse, harmless rewrites, and the pairs that come of them."""
