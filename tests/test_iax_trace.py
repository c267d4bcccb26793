"""iax2debug: frames as text, secrets masked, whatever comes."""

from __future__ import annotations

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import iax
from cusemodem.iax_trace import TracedEndpoint, describe
from iax.exchange import Exchange


def test_a_registration_is_told_frame_by_frame(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server, here = ("192.0.2.1", 4569), ("192.0.2.2", 4570)
    exchange = Exchange([iax.Account("fax0", "s3cret", "100")], random.Random(1))
    endpoint = iax.Endpoint(random.Random(2))
    traced = TracedEndpoint(endpoint)
    registration = endpoint.register(iax.PeerConfig(server, "fax0", "s3cret", 60), 0.0)
    for k in range(100):
        endpoint.handle_timer(k * 0.02)
        for datagram, _ in traced.datagrams_to_send():
            exchange.receive(datagram, here, k * 0.02)
        for datagram, _ in exchange.datagrams_to_send():
            traced.receive(datagram, server, k * 0.02)
    assert registration.state is iax.RegistrationState.REGISTERED
    text = caplog.text
    assert "sent to 192.0.2.1:4569 REGREQ " in text
    assert "received from 192.0.2.1:4569 REGACK " in text
    assert "USERNAME='fax0'" in text
    assert "MD5_RESULT=***" in text


@given(st.binary(max_size=80))
def test_anything_is_one_printable_line(datagram: bytes) -> None:
    for data in (datagram, b"\x80\x01" + datagram, b"\x80\x01\x00\x00" + bytes(6) + b"\x06" + datagram):
        assert describe(data).isprintable()
