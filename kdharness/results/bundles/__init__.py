"""A results folder as one file for others: what a reviewer needs, and nothing that is private."""
