"""Questions that are answered elsewhere than here: in files and in other programs."""
