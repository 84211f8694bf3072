"""The sections of a report: for each kind of table one module with its columns, its words and its figure."""
