"""The console: a page to look, ask and correct, and its server."""
