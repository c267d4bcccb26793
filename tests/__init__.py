"""The tests; helpers are imported as `tests.…` from the top of the repository."""
