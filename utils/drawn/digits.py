"""Digits that the package draws, with known factors: the stand-in if MNIST is not available.

A digit consists of a few strokes, and a stroke is a smooth curve through a few points. Handwriting varies because
the points are moved, and the digit is sheared, rotated, stretched and drawn with a thinner or thicker pen.
"""

import numpy as np

SIZE = 28  # pixels, as MNIST
BOX = 20.0  # MNIST scales every digit into a box of 20 x 20 pixels, then centers its mass
BLUR = 0.8  # pixels, standard deviation of one dot of ink

# Class -> ways to write it -> strokes -> points (x to the right, y down, both in 0..1) on the curve.
GLYPHS = {
    0: [
        [
            [(0.55, 0), (0.2, 0.14), (0.04, 0.5), (0.18, 0.88), (0.5, 1),
             (0.84, 0.85), (0.96, 0.5), (0.82, 0.13), (0.5, 0.01)],
        ],
        [
            [(0.7, 0.06), (0.35, 0.04), (0.08, 0.35), (0.06, 0.72), (0.36, 1),
             (0.74, 0.84), (0.95, 0.44), (0.8, 0.1), (0.5, 0.03)],
        ],
    ],
    1: [
        [
            [(0.5, 0), (0.5, 0.5), (0.5, 1)],
        ],
        [
            [(0.5, 0), (0.5, 0.35), (0.5, 0.7), (0.5, 1)],
        ],
        [
            [(0.36, 0.18), (0.52, 0)],
            [(0.52, 0), (0.51, 0.5), (0.5, 1)],
        ],
    ],
    2: [
        [
            [(0.1, 0.24), (0.35, 0.01), (0.75, 0.06), (0.84, 0.32), (0.6, 0.62), (0.08, 0.97)],
            [(0.08, 0.97), (0.5, 0.93), (0.98, 0.95)],
        ],
        [
            [(0.12, 0.2), (0.4, 0), (0.76, 0.1), (0.76, 0.38), (0.48, 0.7), (0.16, 0.95),
             (0.03, 0.84), (0.2, 0.74), (0.5, 0.88), (0.78, 1), (1, 0.9)],
        ],
        [
            [(0.05, 0.15), (0.4, 0), (0.8, 0.12), (0.78, 0.42), (0.45, 0.75), (0.05, 1)],
            [(0.05, 1), (0.4, 0.9), (0.7, 0.98), (1, 0.92)],
        ],
    ],
    3: [
        [
            [(0.1, 0.12), (0.42, 0), (0.8, 0.1), (0.76, 0.34), (0.36, 0.47)],
            [(0.36, 0.47), (0.78, 0.53), (0.9, 0.76), (0.64, 0.97), (0.3, 1), (0.04, 0.88)],
        ],
        [
            [(0.05, 0.06), (0.45, 0), (0.85, 0.1), (0.7, 0.36), (0.42, 0.46),
             (0.7, 0.5), (0.92, 0.7), (0.7, 0.94), (0.32, 1), (0.04, 0.94)],
        ],
    ],
    4: [
        [
            [(0.14, 0.02), (0.08, 0.3), (0.1, 0.5), (0.4, 0.56), (0.86, 0.48)],
            [(0.86, 0.04), (0.82, 0.5), (0.78, 1)],
        ],
        [
            [(0.72, 0), (0.4, 0.3), (0.05, 0.62)],
            [(0.05, 0.62), (0.5, 0.62), (0.98, 0.59)],
            [(0.72, 0), (0.69, 0.5), (0.66, 1)],
        ],
        [
            [(0.2, 0), (0.06, 0.34), (0.16, 0.55), (0.5, 0.52), (0.82, 0.36)],
            [(0.9, 0), (0.78, 0.45), (0.66, 1)],
        ],
    ],
    5: [
        [
            [(0.3, 0.02), (0.24, 0.22), (0.18, 0.44)],
            [(0.18, 0.44), (0.5, 0.37), (0.82, 0.52), (0.8, 0.82), (0.45, 1), (0.04, 0.9)],
            [(0.3, 0.02), (0.6, 0.03), (0.98, 0)],
        ],
        [
            [(0.95, 0.02), (0.6, 0.02), (0.34, 0.06), (0.26, 0.38), (0.58, 0.46),
             (0.78, 0.66), (0.66, 0.93), (0.34, 1), (0.04, 0.9)],
        ],
    ],
    6: [
        [
            [(0.72, 0), (0.38, 0.22), (0.12, 0.58), (0.18, 0.88), (0.5, 1),
             (0.84, 0.86), (0.82, 0.62), (0.52, 0.54), (0.18, 0.76)],
        ],
        [
            [(0.5, 0), (0.22, 0.3), (0.08, 0.68), (0.3, 0.98), (0.7, 0.96),
             (0.88, 0.74), (0.68, 0.56), (0.36, 0.62), (0.14, 0.82)],
        ],
    ],
    7: [
        [
            [(0.04, 0.08), (0.45, 0.05), (0.92, 0.03)],
            [(0.92, 0.03), (0.68, 0.4), (0.5, 0.7), (0.38, 1)],
        ],
        [
            [(0.02, 0.2), (0.12, 0.06), (0.5, 0.08), (0.9, 0.04)],
            [(0.9, 0.04), (0.72, 0.4), (0.6, 0.7), (0.54, 1)],
        ],
        [
            [(0.04, 0.06), (0.45, 0.06), (0.92, 0.02)],
            [(0.92, 0.02), (0.66, 0.4), (0.46, 0.7), (0.34, 1)],
            [(0.28, 0.52), (0.55, 0.5), (0.84, 0.47)],
        ],
    ],
    8: [
        [
            [(0.82, 0.16), (0.55, 0), (0.22, 0.12), (0.28, 0.34), (0.56, 0.5), (0.8, 0.7), (0.7, 0.94),
             (0.4, 1), (0.14, 0.84), (0.28, 0.62), (0.58, 0.44), (0.84, 0.2), (0.7, 0.05)],
        ],
        [
            [(0.5, 0), (0.2, 0.1), (0.22, 0.36), (0.5, 0.47), (0.8, 0.36), (0.78, 0.1), (0.5, 0)],
            [(0.5, 0.47), (0.14, 0.62), (0.14, 0.9), (0.5, 1), (0.86, 0.9), (0.84, 0.62), (0.5, 0.47)],
        ],
    ],
    9: [
        [
            [(0.84, 0.14), (0.52, 0), (0.18, 0.14), (0.16, 0.38), (0.46, 0.48), (0.76, 0.34), (0.84, 0.14)],
            [(0.84, 0.14), (0.8, 0.55), (0.72, 1)],
        ],
        [
            [(0.84, 0.2), (0.6, 0.01), (0.24, 0.1), (0.14, 0.34), (0.4, 0.48), (0.72, 0.36), (0.84, 0.2)],
            [(0.84, 0.2), (0.84, 0.6), (0.66, 0.94), (0.3, 1)],
        ],
    ],
}  # fmt: skip


def draw_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw `count` digits that look handwritten. On one machine, the same seed always gives the same bytes.

    Returns:
        images: uint8 (count, 28, 28), ink 255 on paper 0, with the center of mass in the middle as in MNIST.
        labels: uint8 (count,), the classes 0..9, equally likely.
        factors: float32 arrays (count,): "slant" (shear, positive to the right), "rotation" (degrees, positive is
            clockwise), "width" of the pen (pixels), "size" (fraction of MNIST's 20-pixel box), "aspect" (width over
            height of the glyph before the slant), "shift_x" and "shift_y" (pixels to the right and down), "jitter"
            (standard deviation of the points of the strokes, as a fraction of the glyph).

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}: draw at least one digit.")
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count, dtype=np.uint8)
    factors = {
        "slant": random.normal(0.15, 0.24, count).clip(-0.45, 0.8),
        "rotation": random.normal(0, 6, count).clip(-18, 18),
        "width": 2.4 * np.exp(random.normal(0, 0.22, count).clip(-0.5, 0.6)),
        "size": random.normal(0.97, 0.05, count).clip(0.8, 1.05),
        "aspect": random.normal(0.72, 0.12, count).clip(0.42, 1.05),
        "shift_x": random.normal(0, 0.4, count).clip(-1, 1),
        "shift_y": random.normal(0, 0.4, count).clip(-1, 1),
        "jitter": random.gamma(6, 0.04 / 6, count).clip(0, 0.09),
    }
    way = random.integers(0, np.array([len(GLYPHS[label]) for label in range(10)])[labels])
    factors = {name: values.astype(np.float32) for name, values in factors.items()}
    images = np.empty((count, SIZE, SIZE), np.uint8)
    for label, ways in GLYPHS.items():
        for index, strokes in enumerate(ways):
            chosen = np.flatnonzero((labels == label) & (way == index))
            for some in np.array_split(chosen, len(chosen) // 256 + 1):
                batch = {name: values[some] for name, values in factors.items()}
                images[some] = _ink(*_curves(strokes, batch, random), batch["width"])
    return images, labels, factors


def _curves(strokes, factors, random) -> tuple[np.ndarray, np.ndarray]:
    """Dots along the strokes, in pixels (n, dots, 2), and the length of curve that each represents (n, dots)."""
    n = len(factors["slant"])
    column = {name: values[:, None] for name, values in factors.items()}  # (n, 1), against (n, dots)
    dots, lengths, moved = [], [], {}
    for stroke in strokes:
        points = np.empty((n, len(stroke), 2), np.float32)
        for i, point in enumerate(stroke):
            if point not in moved:  # strokes that share a point stay connected
                moved[point] = random.normal(size=(n, 2)) * column["jitter"] + point
            points[:, i] = moved[point]
        x, y = np.moveaxis(_spline(len(stroke)) @ points, -1, 0)
        x = (x - 0.5) * column["aspect"] - (y - 0.5) * column["slant"]
        turn = np.deg2rad(column["rotation"])
        curve = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1)
        step = np.linalg.norm(np.diff(curve, axis=1), axis=-1)
        dots.append(curve)
        lengths.append((np.pad(step, ((0, 0), (1, 0))) + np.pad(step, ((0, 0), (0, 1)))) / 2)
    dots, lengths = np.concatenate(dots, axis=1), np.concatenate(lengths, axis=1)
    extent = np.ptp(dots, axis=1).max(axis=1, keepdims=True)
    scale = (BOX * column["size"] - column["width"]) / extent
    mass = lengths / lengths.sum(axis=1, keepdims=True)
    dots = (dots - (mass[:, :, None] * dots).sum(axis=1, keepdims=True)) * scale[:, :, None]
    shift = np.stack([column["shift_x"], column["shift_y"]], axis=-1)
    return dots + (SIZE - 1) / 2 + shift, lengths * scale


def _spline(points: int, dots_per_span: int = 12) -> np.ndarray:
    """Catmull-Rom interpolation as a matrix (dots, points): a smooth curve through all the points."""
    position = np.linspace(0, points - 1, (points - 1) * dots_per_span + 1)
    span = np.minimum(position.astype(int), points - 2)
    t = (position - span)[:, None]
    cubic = np.array([[0, -1, 2, -1], [2, 0, -5, 3], [0, 1, 4, -3], [0, 0, -1, 1]]) / 2
    weights = t ** np.arange(4) @ cubic.T  # of the points before, at, one after and two after the start of the span
    matrix = np.zeros((len(position), points), np.float32)
    for offset in range(4):
        neighbor = (span + offset - 1).clip(0, points - 1)  # beyond the ends, the end points are repeated
        np.add.at(matrix, (np.arange(len(position)), neighbor), weights[:, offset])
    return matrix


def _ink(dots: np.ndarray, lengths: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Draw curves with a round pen: uint8 (n, 28, 28).

    Every dot is a small Gaussian of ink, so an image is the product of two matrices. At distance d from a line, the
    sum of the dots is exp(-d²/2 BLUR²) / (sqrt(2π) BLUR). Solving for d gives strokes of any width, with edges that
    are one pixel soft.
    """
    grid = np.arange(SIZE, dtype=np.float32)
    # The ink of a dot is at least e^-40, because many processors are slow with denormal numbers.
    columns, rows = (np.exp(np.maximum(-0.5 * ((dots[:, :, i : i + 1] - grid) / BLUR) ** 2, -40)) for i in (0, 1))
    rows *= lengths[:, :, None]  # (n, dots, 28), as columns
    ink = np.swapaxes(rows, 1, 2) @ columns / (np.sqrt(2 * np.pi) * BLUR)  # 1 on a straight line
    distance = BLUR * np.sqrt(-2 * np.log(ink.clip(1e-20, 1)))
    return (255 * (width[:, None, None] / 2 + 0.5 - distance).clip(0, 1)).astype(np.uint8)
