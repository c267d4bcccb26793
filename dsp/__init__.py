"""Fax signal processing: bits to audio and audio to bits, compiled."""
