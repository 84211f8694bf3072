"""What people and other programs read: leaderboard, terminal, HTML, Markdown and LaTeX."""
