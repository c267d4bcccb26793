"""The AT command engine: V.250 lines and T.31 Class 1, pure."""
