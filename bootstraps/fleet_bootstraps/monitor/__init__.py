"""The monitor: what a fleet does and did, drawn from its event log, as a page and as JSON."""
