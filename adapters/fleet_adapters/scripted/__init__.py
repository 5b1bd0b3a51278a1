"""A model that answers from a script, called directly or over HTTP."""
