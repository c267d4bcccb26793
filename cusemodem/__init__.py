"""cusemodem: a software fax modem on a CUSE character device and an IAX2 line."""
