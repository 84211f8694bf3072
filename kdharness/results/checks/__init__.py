"""Whether a results folder is what its files say: its numbers counted again, its keys and digests found again."""
