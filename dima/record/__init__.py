"""What a run leaves behind: the event log, its provenance, and Sacred's copy."""
