"""The table that papers print: methods by pairs."""
