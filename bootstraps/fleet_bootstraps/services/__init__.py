"""The fleet as processes: which ports each service opens, and how it is served."""
