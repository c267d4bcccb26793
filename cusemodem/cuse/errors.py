"""The one error that opening a device raises."""

from __future__ import annotations


class DeviceError(Exception):
    """A device cannot be served; the text is one sentence: which device, why, what to do."""
