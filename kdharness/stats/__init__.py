"""Statistics of the comparison: pure functions on tidy tables, by column names."""
