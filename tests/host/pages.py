"""Pages to send in tests: seeded, so that a failure can be repeated; each exercises other T.4 codes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tests.host.t4 import WIDTH, Page


def text_page(title: str, n_rows: int = 1144) -> Page:
    """Like a letter: lines of text, a frame, mostly white. 1144 rows are A4 at 3.85 lines/mm."""
    image = Image.new("1", (WIDTH, n_rows), 1)
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 20, WIDTH - 40, n_rows - 20), outline=0, width=3)
    for i, y in enumerate(range(50, n_rows - 60, 40)):
        draw.text((80, y), f"{title}: line {i}, the quick brown fox jumps over the lazy dog. " * 3, fill=0)
    return np.asarray(image, np.bool_) ^ True


def random_page(seed: int, n_rows: int = 200) -> Page:
    """Rows of random runs, short and long, black margins included: every code of the tables turns up."""
    rng = np.random.default_rng(seed)
    page = np.zeros((n_rows, WIDTH), np.bool_)
    for i in range(n_rows):
        n_edges = int(rng.integers(0, 24))
        edges = np.sort(rng.integers(0, WIDTH + 1, n_edges))
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            page[i, start:end] = True
        if rng.random() < 0.1:
            page[i] ^= True
    return page
