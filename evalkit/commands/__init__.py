"""What each command does, one file per command: from its arguments to its exit code."""
