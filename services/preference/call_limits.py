"""How much one call of an LLM judge takes at most. PURE."""

# Tokens of an answer where the judge's settings name no limit.
MAX_TOKENS = 256
