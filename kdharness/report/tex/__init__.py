"""Pieces of a LaTeX document: letters, widths, what fits beside each other, floats."""
