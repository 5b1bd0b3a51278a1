"""The `local` runner: jobs run in this process."""
