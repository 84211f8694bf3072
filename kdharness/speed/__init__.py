"""Speed on the machine at hand: measured side by side in one run, and told as ratios."""
