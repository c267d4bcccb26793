"""The called station: answers, says what it can, judges training and pages (T.30 phases A–E, no ECM)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.host import t4
from tests.host.class1 import HYLAFAX, CallFailed, Class1Program, Habits, HostTimeout, Script
from tests.host.t30 import (
    BY_DCS,
    CFR,
    CODES,
    CSI,
    DCN,
    DCS,
    DIS,
    EOM,
    EOP,
    FINE,
    FROM_DIS_RECEIVER,
    FTT,
    MCF,
    MPS,
    NAMES,
    RATE_MASK,
    RECEIVER,
    RTN,
    SCAN_LINE_S,
    T1_S,
    T2_S,
    TCF_S,
    TSI,
    UNLIMITED_LENGTH,
    Modulation,
    dis_rate_bits,
    frame,
    identification,
    read_identification,
)

TCF_LONGEST_ZEROS = 2 / 3  # of 1.5 s in one run, as HylaFAX asks
TCF_NONZERO = 0.10
GOOD_ROWS = 0.95
REPEAT_S = 9.0
"the same post-message command so soon after our answer, and no page: the answer was lost, not a page"


class FaxReceiver(Class1Program):
    """Waits for a call and takes its pages: `pages`, `page_results`, `rates_tried`, `failed`."""

    def __init__(
        self,
        *,
        own_id: str = "+44 20 7946 0002",
        codes: Sequence[int] = CODES,
        rings_before_answer: int = 1,
        scan_line_s: float = 0.0,
        habits: Habits = HYLAFAX,
        refuse_training: Sequence[str] = (),
        caller_id: bool = False,
    ) -> None:
        """`refuse_training`: names of modulations (`V.29 9600`) answered with FTT whatever the TCF was."""
        super().__init__(habits)
        self.own_id = own_id
        self.codes = tuple(codes)
        self.rings_before_answer = rings_before_answer
        self.scan_line_bits = {seconds: bits for bits, seconds in SCAN_LINE_S.items()}[scan_line_s]
        self.refuse_training = tuple(refuse_training)
        self.caller_id = caller_id
        self.ready = False
        "set up and waiting for RING"
        self.pages: list[t4.Page] = []
        self.page_results: list[t4.Decoded] = []
        "every page as it came, rejected ones too"
        self.remote_id = ""
        self.call_lines: list[str] = []
        "what the modem said with RING (NMBR=…)"
        self.rates_tried: list[str] = []
        self.rate = ""
        self.n_trainings_failed = 0

    def script(self) -> Script[None]:
        """One call, from waiting to hang-up."""
        yield from self.set_up()
        if self.habits.adaptive_reception:
            yield from self.command_ok("+FAR=1")
        if self.caller_id:
            yield from self.command_ok("+VCID=1")
        supported = yield from self.supported_codes("+FRM=?")
        self.codes = tuple(code for code in self.codes if code in supported)
        if not self.codes:
            raise CallFailed("the modem receives none of the modulations wanted")
        yield from self._wait_for_call()
        yield from self._answer()
        modulation = yield from self._until_dcs(after_ata=True)
        yield from self._pages_of_call(modulation)

    def _wait_for_call(self) -> Script[None]:
        self.ready = True
        self.information.clear()
        self.n_rings = 0
        while self.n_rings < self.rings_before_answer:
            try:
                yield from self.result("RING", 1.0)
            except HostTimeout:
                self.log.pop()
        self.call_lines = [line for line in self.information if line != "RING"]

    def _answer(self) -> Script[None]:
        result = yield from self.command("A", 180.0)
        if result != "CONNECT":
            raise CallFailed(f"answering: {result}")

    def _dis_frames(self) -> list[bytes]:
        octet2 = RECEIVER | FINE | dis_rate_bits(self.codes)
        octet3 = self.scan_line_bits | UNLIMITED_LENGTH
        return [
            frame(CSI, identification(self.own_id), final=False),
            frame(DIS, bytes((0, octet2, octet3))),
        ]

    def _until_dcs(self, *, after_ata: bool) -> Script[Modulation]:
        """Identify until a DCS comes (T1), then train; the modulation agreed, CFR sent.

        After ATA the carrier is up already: the first DIS goes out without +FTH.
        """
        until = self.now + T1_S
        while self.now < until:
            yield from self.send_frames(self._dis_frames(), self.habits.turnaround, implicit=after_ata)
            after_ata = False
            frames = yield from self._command(T2_S)
            if DCS in frames:
                return (yield from self._training(frames))
            if DCN in frames:
                raise CallFailed("the far end disconnected (DCN) instead of sending")
        raise CallFailed("nobody answered our DIS (T1)")

    def _command(self, timeout_s: float, *, implicit: bool = False) -> Script[dict[int, bytes]]:
        """Frames of the sender up to the final one: FCF (X bit off) → FIF; empty: none came in time."""
        frames: dict[int, bytes] = {}
        until = self.now + timeout_s
        while implicit or self.now < until:
            data = yield from self.receive_frame(max(0.1, until - self.now), implicit=implicit)
            implicit = False
            if data is None:
                continue
            if data:
                fcf = data[2] & ~FROM_DIS_RECEIVER
                frames[fcf] = data[3:]
                self.note("", NAMES.get(fcf, f"FCF {data[2]:02x}"))
                if data[1] & 0x10:
                    break
        return frames

    def _training(self, frames: dict[int, bytes]) -> Script[Modulation]:
        """TCF after TCF until one is good and CFR is sent."""
        while True:
            if TSI in frames:
                self.remote_id = read_identification(frames[TSI])
            dcs = frames[DCS]
            if len(dcs) < 3:
                raise CallFailed("a DCS of fewer than 3 octets")
            modulation = BY_DCS.get(dcs[1] & RATE_MASK)
            if modulation is None or modulation.code not in self.codes:
                raise CallFailed(f"the DCS asks for a modulation we did not offer ({dcs.hex(' ')})")
            self.rates_tried.append(modulation.name)
            good, repeated = yield from self._receive_tcf(modulation)
            if repeated:
                frames = repeated
                continue
            good = good and modulation.name not in self.refuse_training
            yield from self.send_frames([frame(CFR if good else FTT)], self._after_tcf())
            if good:
                self.rate = modulation.name
                return modulation
            self.n_trainings_failed += 1
            frames = yield from self._command(T2_S * 2)
            if DCS not in frames:
                raise CallFailed("no new DCS after FTT")

    def _after_tcf(self) -> str:
        return self.habits.after_tcf_received or self.habits.turnaround

    def _receive_tcf(self, modulation: Modulation) -> Script[tuple[bool, dict[int, bytes]]]:
        """Whether a good TCF came; or the DCS that came in its place."""
        for _ in range(3):
            result, data = yield from self.receive_fast(modulation.code, 4.5, 4.5)
            if result == "+FRH:3":
                frames = yield from self._command(T2_S, implicit=True)
                return False, frames if DCS in frames else {}
            if result != "+FCERROR":
                return self._judge_tcf(data, modulation), {}
        return False, {}

    def _judge_tcf(self, data: bytes, modulation: Modulation) -> bool:
        expected = TCF_S * modulation.bits_per_s / 8
        body = data[data.find(0) :] if 0 in data else b""  # ones come before the first zero
        zeros = max(len(run) for run in _zero_runs(body))
        nonzero = sum(byte != 0 for byte in body)
        good = zeros >= TCF_LONGEST_ZEROS * expected and nonzero <= TCF_NONZERO * len(body)
        verdict = "good" if good else "bad"
        self.note("", f"TCF {modulation.name}: {len(data)} bytes, zeros {zeros}, {nonzero} not: {verdict}")
        return good

    def _pages_of_call(self, modulation: Modulation) -> Script[None]:
        """Page after page until EOP is confirmed and DCN comes."""
        page: t4.Decoded | None = None
        expect_page = True
        answered_at, answered, answer = self.now, {DCS: b""}.keys(), CFR
        until = self.now + T1_S
        while True:
            implicit = False
            if expect_page:
                result, data = yield from self.receive_fast(modulation.page_code, T2_S + 2.9, 60.0)
                if data:
                    page = t4.decode_page(data)
                    self.page_results.append(page)
                    n_rows = page.page.shape[0]
                    self.note("", f"page: {n_rows} rows, {page.n_bad_rows} bad, RTC {page.rtc_seen}")
                    until = self.now + T1_S
                implicit = result == "+FRH:3"
                if data and self.habits.after_page_received:
                    yield from self.command_ok(self.habits.after_page_received)
            try:
                frames = yield from self._command(T2_S, implicit=implicit)
            except CallFailed:
                if page is None and answer == MCF and EOP in answered:
                    return  # all is confirmed: whether DCN was heard is no matter (T.30 §5.3.6.1.8)
                raise
            expect_page = False
            if DCN in frames:
                if page is None and answer == MCF:
                    return
                raise CallFailed("the far end disconnected (DCN) before its page was confirmed")
            if DCS in frames:
                modulation = yield from self._training(frames)
                expect_page = True
            elif frames.keys() & {MPS, EOP, EOM}:
                soon = EOP in frames or self.now < answered_at + REPEAT_S
                repeated = page is None and answered == frames.keys() and soon
                if not repeated:
                    answer = self._verdict(page)
                yield from self._answer_page(answer)
                answered_at, answered, page = self.now, frames.keys(), None
                if answer == MCF and EOM in frames:
                    modulation = yield from self._until_dcs(after_ata=False)
                    expect_page = True
                elif answer == MCF and MPS in frames:
                    expect_page = True
            elif self.now >= until:
                raise CallFailed("the sender went silent after a page")

    def _verdict(self, page: t4.Decoded | None) -> int:
        """MCF, and the page is kept; or RTN."""
        if page is None or page.n_bad_rows > (1 - GOOD_ROWS) * page.page.shape[0] or not page.page.shape[0]:
            return RTN
        self.pages.append(page.page)
        return MCF

    def _answer_page(self, answer: int) -> Script[None]:
        result = yield from self.silence_then(self.habits.turnaround, "+FTH=3", 7.55)
        self._expect("CONNECT", result, "+FTH=3")
        yield from self.sleep(self.habits.confirm_delay_s)
        yield from self.send_frames_on_carrier([frame(answer)])


def _zero_runs(data: bytes) -> list[bytes]:
    """The runs of zero bytes in `data`."""
    return bytes(0 if byte == 0 else 1 for byte in data).split(b"\x01")
