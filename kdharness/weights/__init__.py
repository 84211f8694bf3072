"""Networks' weights in files: which file it is, what it holds, and whether that fits a network."""
