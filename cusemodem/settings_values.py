"""The settings in force as plain values, for JSON, and back."""

from __future__ import annotations

from typing import Any

from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.settings import Settings


def values_of(settings: Settings) -> dict[str, Any]:
    """Every setting by its name."""
    return {
        "basic": settings.basic,
        "pulse": settings.pulse,
        "fax_class": settings.fax_class,
        "parameters": settings.parameters,
        "calling_name": settings.calling_name,
        "calling_number": settings.calling_number,
        "country": settings.country,
        "registers": settings.registers.in_use(),
    }


def settings_of(values: dict[str, Any]) -> Settings:
    """The settings again; what this version does not know is left out.

    Raises KeyError, TypeError, ValueError or AttributeError for what `values_of` did not make.
    """
    settings = Settings()
    settings.basic.update({k: int(v) for k, v in values["basic"].items() if k in settings.basic})
    settings.pulse = bool(values["pulse"])
    settings.fax_class = str(values["fax_class"])
    settings.parameters = {k: str(v) for k, v in values["parameters"].items() if k in PARAMETERS}
    settings.calling_name = str(values["calling_name"])
    settings.calling_number = str(values["calling_number"])
    settings.country = str(values["country"])
    for number, value in values["registers"]:
        settings.registers.set(int(number), int(value))
    return settings
