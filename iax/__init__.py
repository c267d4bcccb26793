"""IAX2: frames, calls and registrations, sans I/O."""
