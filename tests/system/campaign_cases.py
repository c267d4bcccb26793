"""What the campaign tries: who sends to whom, in which fax class, coding and rate. Pure.

HylaFAX is made to send at one rate only by its list of modulations (Class1TMQueryCmd), efax by its
capabilities (-c). Asterisk's fax machine takes the fastest rate of the modulations that it may use, and as a
sender two-dimensional coding; so where it cannot be had otherwise, a second modem with a fax program sends.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any, NamedTuple

ONE_DIMENSIONAL, TWO_DIMENSIONAL, ECM = "1-D", "2-D", "ECM"
CODINGS = (ONE_DIMENSIONAL, TWO_DIMENSIONAL, ECM)


class Rate(NamedTuple):
    """How each program is made to use a rate."""

    codes: str
    """T.31 modulation codes, long and short training."""
    efax: int | None
    """Efax's figure; None: it does not use this modulation at this rate."""
    hylafax: bool
    """Whether HylaFAX begins with it: at 9600 and 7200 it takes V.29 when the far end has that, too."""
    res_fax: str
    """The bed's figure for modulations of which this is the fastest rate; empty: there is none."""
    rows: int
    """Rows of a page: about as long a call at each rate; 0 is a whole sheet."""


RATES = {
    "V.27ter 2400": Rate("24", 0, True, "", 250),
    "V.27ter 4800": Rate("48", 1, True, "1", 500),
    "V.29 7200": Rate("72", 2, True, "", 750),
    "V.29 9600": Rate("96", 3, True, "4", 0),
    "V.17 7200": Rate("73,74", None, False, "", 750),
    "V.17 9600": Rate("97,98", None, False, "", 0),
    "V.17 12000": Rate("121,122", 4, True, "", 0),
    "V.17 14400": Rate("145,146", 5, True, "5", 0),
}


class End(NamedTuple):
    """A program (hylafax, efax; asterisk; iaxmodem: efax on one) and its fax class; Asterisk has none."""

    program: str
    fax_class: str = "1"


ASTERISK = End("asterisk", "")
IAXMODEM = End("iaxmodem")
NOT_OURS = (ASTERISK, IAXMODEM)


class Row(NamedTuple):
    """One row of the table: of a call, what one of its ends did."""

    program: str
    fax_class: str
    coding: str
    rate: str
    direction: str
    far: str
    """The program at the other end."""


@dataclass(frozen=True)
class Case:
    """One call. run: from 1, of the same case."""

    sender: End
    receiver: End
    coding: str
    rate: str
    run: int = 1

    @property
    def name(self) -> str:
        """For a directory, and to know the call again."""
        parts = ["-".join(filter(None, end)) for end in (self.sender, self.receiver)]
        return "_".join([*parts, self.coding, self.rate, str(self.run)]).replace(" ", "-")

    def rows(self) -> list[Row]:
        """What the call says something about."""
        ends = ((self.sender, "send", self.receiver), (self.receiver, "receive", self.sender))
        return [
            Row(*end, self.coding, self.rate, direction, far.program)
            for end, direction, far in ends
            if end not in NOT_OURS
        ]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Case":
        ends = {key: End(*values[key]) for key in ("sender", "receiver")}
        return Case(**(values | ends))


# A few minutes' worth for the test suite: each program and class both ways, each modulation, each coding.
SHORT = (
    Case(End("hylafax", "1"), ASTERISK, TWO_DIMENSIONAL, "V.17 14400"),
    Case(ASTERISK, End("hylafax", "1.0"), ECM, "V.29 9600"),
    Case(End("efax"), IAXMODEM, ONE_DIMENSIONAL, "V.29 7200"),
    Case(IAXMODEM, End("efax"), ONE_DIMENSIONAL, "V.17 12000"),
    Case(End("hylafax", "1.0"), End("hylafax", "1"), ONE_DIMENSIONAL, "V.17 12000"),
    Case(End("hylafax", "1.0"), ASTERISK, ECM, "V.27ter 4800"),
    Case(ASTERISK, End("hylafax", "1"), TWO_DIMENSIONAL, "V.17 14400"),
)


def one_pass(programs: Sequence[End], run: int = 1, *, iaxmodem: bool = False) -> list[Case]:
    """Every rate and coding, sent and received by each of `programs` once or more; different ones in turn.

    iaxmodem: to and from efax on an iaxmodem instead, in the coding and at the rates that efax has.
    """
    if iaxmodem:
        lanes = [_with_iaxmodem(end) for end in programs]
    else:
        lanes = [lane for end in programs for lane in (_to_asterisk(end), _from_asterisk(end), _between(end))]
    mixed = chain.from_iterable(zip_longest(*lanes))
    return [
        Case(sender, receiver, coding, rate, run)
        for sender, receiver, coding, rate in (values for values in mixed if values)
    ]


def plan(programs: Sequence[End], n_runs: int, *, iaxmodem: bool = False) -> list[Case]:
    """The whole grid once, then calls until each of `programs` has sent and received `n_runs` times."""
    counted: Counter[tuple[str, str, str]] = Counter()
    cases: list[Case] = []
    wanted = [(*end, direction) for end in programs for direction in ("send", "receive")]
    run = 0
    while run == 0 or any(counted[what] < n_runs for what in wanted):
        run += 1
        for case in one_pass(programs, run, iaxmodem=iaxmodem):
            does = [(row.program, row.fax_class, row.direction) for row in case.rows()]
            if run == 1 or any(counted[what] < n_runs for what in does):
                cases.append(case)
                counted.update(does)
    return cases


_Values = tuple[End, End, str, str]


def _codings(end: End) -> tuple[str, ...]:
    return (ONE_DIMENSIONAL,) if end.program == "efax" else CODINGS


def _rates(end: End) -> Iterator[tuple[int, str]]:
    efax = end.program == "efax"
    names = [name for name, rate in RATES.items() if (rate.efax is not None if efax else rate.hylafax)]
    # Slow and fast ones in turn, so that what is done half is not one half of the rates.
    return enumerate(names[::2] + names[1::2])


def _grid(end: End) -> Iterator[tuple[str, str]]:
    """Every coding at every rate: first each rate once, with the codings in turn."""
    codings = _codings(end)
    for shift in range(len(codings)):
        for k, rate in _rates(end):
            yield codings[(k + shift) % len(codings)], rate


def _res_fax_sends(end: End, coding: str, rate: str) -> bool:
    """Whether Asterisk sends in that way to a program with the capabilities of `end`."""
    best = ONE_DIMENSIONAL if end.program == "efax" else TWO_DIMENSIONAL
    return bool(RATES[rate].res_fax) and coding in (best, ECM)


def _to_asterisk(end: End) -> Iterator[_Values]:
    for coding, rate in _grid(end):
        yield end, ASTERISK, coding, rate


def _from_asterisk(end: End) -> Iterator[_Values]:
    for coding, rate in _grid(end):
        if _res_fax_sends(end, coding, rate):
            yield ASTERISK, end, coding, rate


def _between(end: End) -> Iterator[_Values]:
    """What Asterisk's fax machine does not send, a program on a second modem does."""
    for coding, rate in _grid(end):
        if not _res_fax_sends(end, coding, rate):
            yield _partner(end), end, coding, rate


def _with_iaxmodem(end: End) -> Iterator[_Values]:
    for name, rate in RATES.items():
        if rate.efax is not None:
            yield end, IAXMODEM, ONE_DIMENSIONAL, name
            yield IAXMODEM, end, ONE_DIMENSIONAL, name


def _partner(end: End) -> End:
    """HylaFAX in the one class to HylaFAX in the other; efax to efax."""
    return end if end.program == "efax" else End(end.program, "1.0" if end.fax_class == "1" else "1")
