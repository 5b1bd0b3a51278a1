"""What the fleet does, as Gherkin features that run against any profile."""
