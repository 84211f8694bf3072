"""A report's figures as files for print, drawn with matplotlib (extra `plots`)."""
