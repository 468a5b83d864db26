"""Who is acting: local declarations, bearer tokens, and the directory of what a principal is and may hold."""
