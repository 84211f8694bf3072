"""Figures of a setting beside those of its tables: what costs, learns, agrees and knows how sure it is."""
