"""The report on the paper's experiments: read from run folders, drawn as one HTML page, a Markdown page, and CSV."""
