"""A run's report: `report.json` with its published schema, and `report.md` for people."""
