"""The calling station: dials, agrees a rate by training, sends pages, hangs up (T.30 phases A–E, no ECM)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.host import t4
from tests.host.class1 import HYLAFAX, CallFailed, Class1Program, Habits, Script
from tests.host.t30 import (
    CFR,
    CODES,
    CRP,
    CSI,
    DCN,
    DCS,
    DIS,
    EOP,
    FINE,
    FROM_DIS_RECEIVER,
    FTT,
    MCF,
    MODULATIONS,
    MPS,
    NAMES,
    RECEIVER,
    RTN,
    RTP,
    SCAN_LINE_MASK,
    SCAN_LINE_S,
    T1_S,
    T2_S,
    T4_S,
    TCF_S,
    TSI,
    UNLIMITED_LENGTH,
    Modulation,
    codes_of_dis,
    frame,
    identification,
    read_identification,
)

N_TRIES = 3  # of a command without answer (T.30 §5.4.2)


class FaxSender(Class1Program):
    """Sends `pages` to `number`; what came of it is in `failed`, `n_pages_confirmed`, `rates_tried`."""

    def __init__(
        self,
        pages: Sequence[t4.Page],
        number: str,
        *,
        own_id: str = "+44 20 7946 0001",
        codes: Sequence[int] = CODES,
        fine: bool = False,
        habits: Habits = HYLAFAX,
        answer_timeout_s: float = 180.0,
    ) -> None:
        super().__init__(habits)
        self.pages = list(pages)
        self.number = number
        self.own_id = own_id
        self.codes = tuple(codes)
        self.fine = fine
        self.answer_timeout_s = answer_timeout_s
        self.remote_id = ""
        self.n_pages_confirmed = 0
        self.rates_tried: list[str] = []
        "one entry a training, in order"
        self.rate = ""
        "of the last training that succeeded"
        self._dis = b""

    def script(self) -> Script[None]:
        """The whole call."""
        yield from self.set_up()
        offered = yield from self.supported_codes("+FTM=?")
        yield from self._dial()
        usable = [code for code in self.codes if code in offered & codes_of_dis(self._dis[1])]
        if not usable:
            raise CallFailed("no modulation in common with the far end")
        remaining = [MODULATIONS[code] for code in usable]
        modulation = yield from self._train(remaining)
        n_rejected = 0
        while True:
            answer = yield from self._page(modulation)
            if answer in (MCF, RTP):
                self.n_pages_confirmed += 1
                n_rejected = 0
                if self.n_pages_confirmed == len(self.pages):
                    break
            else:
                n_rejected += 1
                if n_rejected == N_TRIES:
                    raise CallFailed(f"page {self.n_pages_confirmed + 1} was rejected {N_TRIES} times (RTN)")
                if len(remaining) > 1:
                    remaining.pop(0)
            if answer in (RTN, RTP):
                modulation = yield from self._train(remaining)
        yield from self._disconnect()

    def _dial(self) -> Script[None]:
        result = yield from self.command(f"DT{self.number}", self.answer_timeout_s)
        if result != "CONNECT":
            raise CallFailed(f"dialling {self.number}: {result}")
        frames = yield from self._frames(T2_S, implicit=True)
        for _ in range(N_TRIES):
            if DIS in frames:
                break
            frames = yield from self._frames(T2_S)
        self._take_dis(frames)

    def _take_dis(self, frames: dict[int, bytes]) -> None:
        if CSI in frames:
            self.remote_id = read_identification(frames[CSI])
        if len(frames.get(DIS, b"")) < 3:
            raise CallFailed("the far end sent no DIS")
        self._dis = frames[DIS]
        if not self._dis[1] & RECEIVER:
            raise CallFailed("the far end cannot receive (DIS bit 10)")

    def _frames(self, timeout_s: float, *, implicit: bool = False) -> Script[dict[int, bytes]]:
        """Good frames up to the final one: FCF (X bit off) → FIF. Empty: none came."""
        frames: dict[int, bytes] = {}
        until = self.now + T1_S
        while self.now < until:
            data = yield from self.receive_frame(timeout_s, implicit=implicit)
            implicit = False
            if data is None:
                return frames
            if data:
                frames[data[2] & ~FROM_DIS_RECEIVER] = data[3:]
                self.note("", NAMES.get(data[2] & ~FROM_DIS_RECEIVER, f"FCF {data[2]:02x}"))
                if data[1] & 0x10:
                    return frames
        return frames

    def _train(self, remaining: list[Modulation]) -> Script[Modulation]:
        """DCS and TCF until CFR; each FTT drops a rate from `remaining`, whose first is the one agreed."""
        n_unanswered = n_refused_last = 0
        dis_until = self.now + T1_S
        while True:
            modulation = remaining[0]
            self.rates_tried.append(modulation.name)
            tsi = frame(TSI | FROM_DIS_RECEIVER, identification(self.own_id), final=False)
            dcs = frame(DCS | FROM_DIS_RECEIVER, self._dcs(modulation))
            yield from self.send_frames([tsi, dcs], self.habits.turnaround)
            tcf = bytes(round(TCF_S * modulation.bits_per_s / 8))
            yield from self.send_fast(modulation.code, tcf, self.habits.before_tcf, modulation.bits_per_s)
            frames = yield from self._frames(T4_S)
            if CFR in frames:
                self.rate = modulation.name
                return modulation
            if FTT in frames:
                n_unanswered = 0
                if len(remaining) > 1:
                    remaining.pop(0)
                else:
                    n_refused_last += 1
                    if n_refused_last == N_TRIES:
                        raise CallFailed(
                            f"the far end failed to train at any rate, down to {modulation.name}"
                        )
            elif DCN in frames:
                raise CallFailed("the far end disconnected (DCN) after training")
            elif DIS in frames and self.now < dis_until:
                self._take_dis(frames)  # it did not hear our DCS (T.30 §5.4.2)
            else:
                n_unanswered += 1
                if n_unanswered == N_TRIES:
                    yield from self._disconnect()
                    raise CallFailed(f"no answer to DCS and TCF, {N_TRIES} times")

    def _dcs(self, modulation: Modulation) -> bytes:
        octet2 = RECEIVER | modulation.dcs | (FINE if self.fine and self._dis[1] & FINE else 0)
        octet3 = (self._dis[2] & SCAN_LINE_MASK) | (self._dis[2] & UNLIMITED_LENGTH)
        return bytes((0, octet2, octet3))

    def _page(self, modulation: Modulation) -> Script[int]:
        """One page and its post-message command; the far end's answer: MCF, RTP or RTN."""
        scan_line_s = SCAN_LINE_S.get(self._dis[2] & SCAN_LINE_MASK, 0.020)
        min_row_bits = round(scan_line_s * modulation.bits_per_s)
        data = t4.encode_page(self.pages[self.n_pages_confirmed], min_row_bits=min_row_bits)
        turnaround = self.habits.turnaround
        yield from self.send_fast(modulation.page_code, data, turnaround, modulation.bits_per_s)
        last = self.n_pages_confirmed == len(self.pages) - 1
        command = frame((EOP if last else MPS) | FROM_DIS_RECEIVER)
        silence = self.habits.before_eop if last else self.habits.before_post_message
        for _ in range(N_TRIES):
            yield from self.send_frames([command], silence)
            frames = yield from self._frames(T4_S)
            for answer in (MCF, RTP, RTN):
                if answer in frames:
                    return answer
            if DCN in frames:
                raise CallFailed("the far end disconnected (DCN) after a page")
            if CRP not in frames and frames:
                raise CallFailed(f"unknown answer to a page: {', '.join(f'{fcf:02x}' for fcf in frames)}")
        yield from self._disconnect()
        raise CallFailed(f"no answer to {NAMES[EOP if last else MPS]}, {N_TRIES} times")

    def _disconnect(self) -> Script[None]:
        yield from self.send_frames([frame(DCN | FROM_DIS_RECEIVER)], self.habits.turnaround)
