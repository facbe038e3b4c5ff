"""Faces drawn by the package, with known factors, for chapter 07.

A face is a stack of shapes with soft edges, painted from back to front; each shape is a signed distance, in units of
which the picture is 32 wide. Only the factors vary.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

SIZE = 64  # pixels
UNIT = SIZE / 32  # pixels in a unit

# Factor -> lowest and highest value.
FACTORS = {
    "hair_color": (0, 1),  # black, brown, blond
    "hair_length": (0, 1),  # short, down to the shoulders
    "sunglasses": (0, 1),  # without, with
    "skin_tone": (0, 1),  # light, dark
    "face_shape": (0, 1),  # narrow, round
    "smile": (-1, 1),  # sad, happy
    "background": (0, 1),  # green, blue, violet, pink: unlike hair and skin
}

# RGB in 0..255, at equal steps of the factor.
HAIR = [(24, 20, 24), (84, 48, 28), (158, 100, 48), (242, 205, 110)]
SKIN = [(255, 224, 200), (240, 190, 150), (196, 136, 96), (136, 88, 62)]
BACKGROUND = [(190, 232, 205), (180, 225, 240), (196, 204, 246), (226, 200, 242), (250, 204, 222)]


@dataclass(frozen=True)
class Faces:
    """A data set of faces with attributes.

    Each part yields single pairs in a fixed order: an image, float32 (64, 64, 3) in [0, 1], and its attributes,
    float32 (len(names),), in the order of `names`.
    """

    names: tuple[str, ...]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset


def draw_faces(count: int, seed=0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw `count` random faces. On one machine, the same seed (one or more integers) always gives the same bytes.

    Returns:
        images: uint8 (count, 64, 64, 3), RGB.
        factors: float32 arrays (count,), uniform over the ranges in `FACTORS` and independent of each other;
            "sunglasses" is 0 or 1, equally likely.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}: draw at least one face.")
    random = np.random.default_rng(seed)
    factors = {name: random.uniform(*limits, count).astype(np.float32) for name, limits in FACTORS.items()}
    factors["sunglasses"] = factors["sunglasses"].round()
    return render_faces(factors), factors


def render_faces(factors: dict[str, np.ndarray]) -> np.ndarray:
    """Draw faces with these factors: uint8 (n, 64, 64, 3), RGB.

    Args:
        factors: for every name in `FACTORS` an array (n,), or one number for all faces. Sunglasses between 0 and 1
            are half transparent.

    Raises:
        ValueError: a factor is missing, unknown or out of range, or the arrays differ in length.
    """
    for wrong, which in ((FACTORS.keys() - factors, "missing"), (factors.keys() - FACTORS, "unknown")):
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))}: {which}. The factors of a face are {', '.join(FACTORS)}.")
    columns = {name: np.atleast_1d(np.asarray(factors[name], np.float32)) for name in FACTORS}
    for name, (low, high) in FACTORS.items():
        wrong = columns[name][~((columns[name] >= low) & (columns[name] <= high))]
        if wrong.size:
            raise ValueError(f"{name} is {wrong[0]:g}: choose a value from {low} to {high}.")
    lengths = {values.shape for values in columns.values()} - {(1,)}
    if len(lengths) > 1 or any(len(shape) != 1 for shape in lengths):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise ValueError(f"Give each factor as one number or as an array (n,), all with the same n, not {shapes}.")
    rows = np.stack(np.broadcast_arrays(*columns.values()), axis=1)
    images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
    for start in range(0, len(rows), 16):  # few enough for the cache of a processor, which is fastest
        chunk = rows[start : start + 16]
        images[start : start + 16] = _portraits(dict(zip(FACTORS, chunk.T[:, :, None, None], strict=True)))
    return images


def _portraits(factors: dict[str, np.ndarray]) -> np.ndarray:
    """Draw faces with factors (n, 1, 1): uint8 (n, 64, 64, 3)."""
    y, x = (np.mgrid[:SIZE, :SIZE].astype(np.float32) + np.float32(0.5)) / np.float32(UNIT)
    x -= 16
    side = np.abs(x)  # distance from the axis of the face, because most shapes come in pairs
    length, smile, glasses = factors["hair_length"], factors["smile"], factors["sunglasses"]
    hair, skin = _ramp(HAIR, factors["hair_color"]), _ramp(SKIN, factors["skin_tone"])
    width = 8.2 + 2 * factors["face_shape"]  # from the axis to an ear
    eye = side - 0.46 * width  # from the middle of an eye, positive outwards
    pupil = x - np.sign(x) * 0.46 * width  # the same, positive to the right
    white, dark, lens_color = _rgb(255, 255, 255), _rgb(58, 40, 40), _rgb(30, 32, 42)
    canvas = np.empty((3, *np.broadcast_shapes(width.shape, x.shape)), np.float32)
    canvas[:] = _ramp(BACKGROUND, factors["background"])

    volume = width + 1.1 + 0.7 * length
    crown = _ellipse(x, y - 15, volume, 12)
    falling = np.maximum(side - volume - 0.06 * (y - 15), 15 - y)
    tresses = _both(np.minimum(crown, falling), y - 15 - 14.5 * length, 2)
    _paint(canvas, tresses, 0.55 * hair)  # behind the face; dark, so that it stands out against every background

    _paint(canvas, _ellipse(x, y - 35, 13.5, 7), _rgb(86, 120, 176))  # shirt, collar, neck
    _paint(canvas, _ellipse(x, y - 28.3, 4.4, 2.4), _rgb(222, 230, 246))
    _paint(canvas, _both(side - 3.3, np.abs(y - 26) - 4, 2), skin * _rgb(222, 196, 190))

    _paint(canvas, _ellipse(side - width - 0.2, y - 18.5, 1.5, 2.2), skin * _rgb(244, 222, 216))  # ears
    jaw = 1 + 0.022 * (1 - factors["face_shape"]) * (y - 18).clip(0)
    _paint(canvas, _ellipse(x * jaw, y - 17, width, 10.2), skin)
    _blush(canvas, (side - 0.62 * width) / 1.6, (y - 21.9) / 1.1, skin * _rgb(255, 150, 150), 0.5)  # cheeks
    _blush(canvas, x / 0.9, (y - 20.6) / 0.7, skin * _rgb(190, 150, 140), 0.7)  # shade of the nose

    _paint(canvas, _ellipse(eye, y - 17.9, 2.2, 2.1), white)
    _paint(canvas, _ellipse(eye + 0.1, y - 17.9, 1.45, 1.95), dark)
    _paint(canvas, _ellipse(pupil + 0.5, y - 17.1, 0.7, 0.7), white)  # light from the left
    brow = y - 13.6 - 0.13 * np.square(eye + 0.4)
    _paint(canvas, np.maximum(np.abs(brow) - 0.4, np.abs(eye) - 2), 0.6 * hair)
    mouth = y - 23.3 + 2.1 * smile * (np.square(x / 3.4) - 0.5)
    _paint(canvas, np.maximum(np.abs(mouth) - 0.85, side - 3.7), skin * _rgb(150, 40, 56))

    lens = _both(np.abs(eye) - 0.38 * width, np.abs(y - 18) - 0.3 * width, 1.8)
    _paint(canvas, np.maximum(np.abs(y - 16.6) - 0.5, side - width), lens_color, glasses)  # bridge and sides
    _paint(canvas, lens, lens_color, glasses)
    _paint(canvas, np.maximum(np.abs(pupil + y - 17.4) - 0.5, lens + 0.9), _rgb(150, 170, 200), 0.8 * glasses)

    opening = _ellipse(x, np.minimum(y - 20.5, 0), width - 0.9, 11)  # the face between the tresses
    parting = 9.3 - y + np.maximum(0.33 * (x + 3), -0.9 * (x + 3))  # and below the fringe
    front = np.maximum(tresses, -np.maximum(opening, parting))
    _paint(canvas, front, 0.6 * hair)  # a dark rim, because some hair and some skin have the same color
    _paint(canvas, front + 0.7, hair)
    shine = np.maximum(np.abs(crown + 2.4) - 0.6, y - 10)
    _paint(canvas, np.maximum(shine, front + 1), hair + 0.3 * (1 - hair), 0.7)
    return np.moveaxis((255 * canvas + 0.5).astype(np.uint8), 0, -1)


def _ramp(colors: list[tuple[int, int, int]], at: np.ndarray) -> np.ndarray:
    """Colors between equidistant stops, at positions (n, 1, 1) in [0, 1]: (3, n, 1, 1) in [0, 1]."""
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(at, stops, channel) for channel in zip(*colors, strict=True)]).astype(np.float32) / 255


def _rgb(*color: int) -> np.ndarray:
    return np.array(color, np.float32).reshape(3, 1, 1, 1) / 255


def _ellipse(x, y, half_width, half_height) -> np.ndarray:
    """Distance to an ellipse around 0, negative inside: exact for circles, a little short along a longer axis."""
    return (np.hypot(x / half_width, y / half_height) - 1) * np.minimum(half_width, half_height)


def _both(a, b, radius) -> np.ndarray:
    """Distance to the intersection of two shapes, given the distance to each; corners are rounded."""
    a, b = a + radius, b + radius
    return np.hypot(a.clip(0), b.clip(0)) + np.minimum(np.maximum(a, b), 0) - radius


def _paint(canvas, distance, color, opacity=1) -> None:
    """Paint a shape on the canvas (3, n, 64, 64); pixels within half a pixel of its edge are covered in part."""
    canvas += (0.5 - distance * np.float32(UNIT)).clip(0, 1) * opacity * (color - canvas)


def _blush(canvas, x, y, color, opacity) -> None:
    """Paint a spot of color without an edge, one unit of x wide and one unit of y high."""
    canvas += np.exp(-np.square(x) - np.square(y)) * opacity * (color - canvas)


def drawn_faces(train: int = 20_000, validation: int = 2_000, test: int = 2_000, seed: int = 0) -> Faces:
    """A data set of random faces, whose attributes are the factors (`FACTORS`).

    The parts are independent, and the size of one does not change another. Raises ValueError for a size below 1.
    """

    def part(count, index):
        images, factors = draw_faces(count, [seed, index])
        pairs = tf.data.Dataset.from_tensor_slices((images, np.stack(list(factors.values()), axis=1)))
        return pairs.map(lambda image, attributes: (tf.cast(image, tf.float32) / 255, attributes))

    return Faces(tuple(FACTORS), *(part(count, index) for index, count in enumerate((train, validation, test))))
