"""Figures as elements of a page. Colours are its variables, so that they follow its light or dark."""
