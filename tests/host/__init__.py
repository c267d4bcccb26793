"""A fax program for tests: T.30 over Class 1, pure (bytes in, bytes out, time as an argument)."""
