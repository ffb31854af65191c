"""Units of measurement, as factors and dimensions; exact."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple


class Unit(NamedTuple):
    """A multiple of a product of powers of base units."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    """Sorted pairs of a base and its power; empty for plain numbers."""


# Names and plurals, the factor, the bases. The bases: m kg s K A mol USD rad; "degC" and
# years apart, for a year has no fixed number of days.
_TABLE = """
m meter meters metre metres = 1 m
cm centimeter centimeters centimetre centimetres = 1/100 m
mm millimeter millimeters = 1/1000 m
km kilometer kilometers kilometre kilometres = 1000 m
um micrometer micrometers micron microns = 1/1000000 m
nm nanometer nanometers = 1/1000000000 m
inch inches in = 254/10000 m
ft foot feet = 3048/10000 m
yd yard yards = 9144/10000 m
mi mile miles = 1609344/1000 m
kg kilogram kilograms = 1 kg
g gram grams = 1/1000 kg
mg milligram milligrams = 1/1000000 kg
ton tons tonne tonnes = 1000 kg
lb lbs = 45359237/100000000 kg
oz ounce ounces = 45359237/1600000000 kg
s sec secs second seconds = 1 s
ms millisecond milliseconds = 1/1000 s
min mins minute minutes = 60 s
h hr hrs hour hours = 3600 s
day days = 86400 s
week weeks = 604800 s
yr yrs year years = 1 yr
month months = 1/12 yr
Hz hertz = 1 s-1
kHz = 1000 s-1
MHz = 1000000 s-1
N newton newtons = 1 m kg s-2
J joule joules = 1 m2 kg s-2
kJ kilojoule kilojoules = 1000 m2 kg s-2
cal calorie calories = 4184/1000 m2 kg s-2
kcal = 4184 m2 kg s-2
kWh = 3600000 m2 kg s-2
erg ergs = 1/10000000 m2 kg s-2
eV = 1602176634/10000000000000000000000000000 m2 kg s-2
W watt watts = 1 m2 kg s-3
kW kilowatt kilowatts = 1000 m2 kg s-3
Pa pascal pascals = 1 m-1 kg s-2
kPa = 1000 m-1 kg s-2
C coulomb coulombs = 1 s A
A ampere amperes amp amps = 1 A
V volt volts = 1 m2 kg s-3 A-1
ohm ohms = 1 m2 kg s-3 A-2
K kelvin kelvins = 1 K
degC = 1 degC
degF = 1 degF
mol mole moles = 1 mol
L liter liters litre litres = 1/1000 m3
mL ml milliliter milliliters = 1/1000000 m3
cc = 1/1000000 m3
gallon gallons = 3785411784/1000000000000 m3
dollar dollars USD = 1 USD
cent cents = 1/100 USD
hectare hectares = 10000 m2
mph = 44704/100000 m s-1
kph kmh = 1000/3600 m s-1
"""
_POWER = re.compile(r"([A-Za-z]+)(-?\d+)?")


def _parse_table() -> dict[str, Unit]:
    units = {}
    for line in _TABLE.strip().splitlines():
        names, _, meaning = line.partition("=")
        factor, *bases = meaning.split()
        powers: list[tuple[str, int]] = []
        for base in bases:
            match = _POWER.fullmatch(base)
            if match is None:
                raise ValueError(f"the table of units has a base {base!r}")
            powers.append((match[1], int(match[2] or 1)))
        for name in names.split():
            units[name] = Unit(Fraction(factor), tuple(sorted(powers)))
    return units


_UNITS = _parse_table()
UNITS = frozenset(_UNITS)
"""Every name of a unit that is known."""

_FILLERS = frozenset({"per", "of", "the", "a", "an", "about"})
_PIECE = re.compile(r"(?P<name>[A-Za-z]+)(?:\^?\(?(?P<power>-?\d+)\)?)?|(?P<slash>/)|(?P<other>\S)")


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit | None:
    """The unit that the text says (`km/h`, `kcal m^-2 yr^-1`, `square feet`), or None.

    None means that a word in it isn't a unit we know: then nothing can be said about it.
    """
    factor, dimensions = Fraction(1), dict[str, int]()
    sign, prefix_power = 1, 1
    for match in _PIECE.finditer(text):
        name = match["name"]
        if match["slash"] or name == "per":
            sign = -1
        elif name in ("square", "sq", "squared"):
            prefix_power = 2
        elif name in ("cubic", "cu", "cubed"):
            prefix_power = 3
        elif name is None or name not in _UNITS:
            if name in _FILLERS:
                continue
            return None
        else:
            power = sign * prefix_power * int(match["power"] or 1)
            if abs(power) > 12:
                return None
            prefix_power = 1
            unit = _UNITS[name]
            factor *= unit.factor**power
            for base, times in unit.dimensions:
                dimensions[base] = dimensions.get(base, 0) + power * times
    found = tuple(sorted((base, power) for base, power in dimensions.items() if power))
    return Unit(factor, found) if found else None
