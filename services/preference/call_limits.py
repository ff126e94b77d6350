"""How much one call of an LLM judge takes at most: known to who asks, and to who keeps the money for it back. PURE."""

# Tokens of an answer where the judge's settings name no limit.
MAX_TOKENS = 256
# Bytes of a prompt beside the pair's texts and the criteria: instructions, tags, roles, the chat template's own tokens.
MAX_AROUND = 2_000
