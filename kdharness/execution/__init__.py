"""From a plan to records: what runs when, where it runs, and what is said meanwhile."""
