"""Models behind a server: what is sent to whom, and which answers are taken."""
