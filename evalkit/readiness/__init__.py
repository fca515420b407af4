"""Whether a run will start here, and with what: looked at in seconds, without loading a model or sending a text."""
