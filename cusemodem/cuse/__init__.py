"""The serial port: CUSE messages, port behaviour, and the adapters to the kernel."""
