"""The light reward model: features of texts, heads over them, what they are taught. Pure."""
