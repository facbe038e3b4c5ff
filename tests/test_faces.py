import numpy as np
import pytest
import tensorflow as tf

from utils.drawn import faces

PLAIN = {name: (low + high) / 2 for name, (low, high) in faces.FACTORS.items()} | {"sunglasses": 0}


def sweep(name, count=9, **others):
    """Faces that differ in one factor, float (count, 32, 32, 3) in [0, 1]: one value for each unit of the drawing."""
    images = faces.render_faces(PLAIN | others | {name: np.linspace(*faces.FACTORS[name], count)}) / 255
    return images.reshape(count, 32, 2, 32, 2, 3).mean(axis=(2, 4))


def test_same_seed_same_bytes():
    first, again, other = (faces.draw_faces(300, seed) for seed in (7, 7, 8))
    assert first[0].tobytes() == again[0].tobytes() != other[0].tobytes()
    assert all((values == again[1][name]).all() for name, values in first[1].items())


def test_factors_are_drawn_independently_over_their_ranges():
    images, factors = faces.draw_faces(3000)
    assert images.shape == (3000, 64, 64, 3) and images.dtype == np.uint8
    assert list(factors) == list(faces.FACTORS)
    for name, (low, high) in faces.FACTORS.items():
        values = factors[name]
        assert values.shape == (3000,) and values.dtype == np.float32
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high
    assert set(factors["sunglasses"]) == {0, 1} and abs(factors["sunglasses"].mean() - 0.5) < 0.05
    correlations = np.corrcoef(list(factors.values()))
    assert np.abs(correlations - np.eye(len(factors))).max() < 0.08  # four standard errors


def test_drawn_faces_are_those_of_their_factors():
    images, factors = faces.draw_faces(300)
    assert (faces.render_faces(factors) == images).all()
    alone = faces.render_faces({name: values[-1] for name, values in factors.items()})
    assert (alone == images[-1:]).all()  # whatever else is drawn with it


# Rows and columns that a factor may change, and a share of the whole picture that it changes at least.
PLACES = {
    "hair_color": (slice(2, 31), slice(2, 30), 0.1),
    "hair_length": (slice(2, 31), slice(2, 30), 0.1),
    "sunglasses": (slice(14, 22), slice(6, 26), 0.05),
    "skin_tone": (slice(8, 31), slice(4, 28), 0.1),
    "face_shape": (slice(2, 31), slice(2, 30), 0.1),
    "smile": (slice(21, 26), slice(12, 20), 0.01),
    "background": (slice(0, 32), slice(0, 32), 0.3),
}


@pytest.mark.parametrize("name", faces.FACTORS)
def test_a_factor_changes_its_place_and_no_other(name):
    rows, columns, share = PLACES[name]
    changed = np.ptp(sweep(name), axis=0).max(axis=-1) > 0.02
    assert changed.mean() > share
    changed[rows, columns] = False
    assert not changed.any()


@pytest.mark.parametrize("length", [0, 0.5, 1])
@pytest.mark.parametrize("skin", [0, 0.5, 1])
def test_hair_becomes_brighter_from_black_to_blond(length, skin):
    brightness = sweep("hair_color", hair_length=length, skin_tone=skin)[:, 5:9, 13:19].mean(axis=(1, 2, 3))
    assert (np.diff(brightness) > 0.02).all()


@pytest.mark.parametrize("background", [0, 0.25, 0.5, 0.75, 1])
def test_no_hair_has_the_color_of_its_background(background):
    images = sweep("hair_color", background=background)
    assert np.abs(images[:, 7, 16] - images[:, 0, 0]).max(axis=-1).min() > 0.3


def test_longer_hair_covers_more():
    black = (sweep("hair_length", hair_color=0, skin_tone=0) < 0.2).all(axis=-1).sum(axis=(1, 2))
    assert (np.diff(black) > 0).all() and black[-1] > 1.8 * black[0]


def test_sunglasses_darken_the_eyes_and_keep_their_size_relative_to_the_face():
    widths = []
    for shape in (0, 1):
        without, dressed = sweep("sunglasses", count=2, face_shape=shape)
        assert dressed[16:20, 9:23].mean() < 0.6 * without[16:20, 9:23].mean()
        widths.append(((dressed < 0.3).all(axis=-1)[16:20, 5:27]).any(axis=0).sum())
    assert widths[1] > widths[0]


def test_skin_becomes_darker_and_the_face_wider():
    # The middle of row 22 is skin, because the middle of a smiling mouth is lower.
    assert (np.diff(sweep("skin_tone", smile=1)[:, 22, 16].mean(axis=-1)) < -0.02).all()
    shapes = sweep("face_shape", smile=1)
    skin = np.abs(shapes - shapes[:, 22:23, 16:17]).max(axis=-1)[:, 22] < 0.15
    assert (np.diff(skin.sum(axis=-1)) >= 0).all() and skin[-1].sum() > skin[0].sum() + 2


def test_the_corners_of_the_mouth_rise_with_the_smile():
    mouth = 1 - sweep("smile")[:, 21:27, 12:20, 1]  # red lips are dark in green
    height = (mouth**4 * np.arange(6)[:, None]).sum(axis=1) / (mouth**4).sum(axis=1)
    corners_above_middle = height[:, [3, 4]].mean(axis=1) - height[:, [0, 7]].mean(axis=1)
    assert (np.diff(corners_above_middle) > 0).all() and corners_above_middle[0] < 0 < corners_above_middle[-1]


def test_the_corners_of_the_picture_show_the_background():
    images, factors = faces.draw_faces(200)
    corners = images[:, [0, 0, 20, 20], [0, -1, 0, -1]]
    assert (corners == corners[:, :1]).all()
    order = np.argsort(factors["background"])
    red_less_green = corners[order, 0, 0].astype(int) - corners[order, 0, 1]
    assert red_less_green[0] < -30 and red_less_green[-1] > 30
    assert corners.min() > 170  # pastel


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hat": 1}, "hat: unknown. The factors of a face are hair_color, "),
        ({"smile": -1.5}, "smile is -1.5: choose a value from -1 to 1"),
        ({"smile": [0, np.nan]}, "smile is nan"),
        ({"skin_tone": [0, 0.5, 2]}, "skin_tone is 2: choose a value from 0 to 1"),
        ({"skin_tone": [0, 1], "smile": [0, 0, 1]}, r"same n, not .*skin_tone \(2,\).*smile \(3,\)"),
        ({"smile": [[0, 1]]}, r"smile \(1, 2\)"),
    ],
)
def test_faces_that_cannot_be_drawn(changes, message):
    with pytest.raises(ValueError, match=message):
        faces.render_faces(PLAIN | changes)


def test_faces_of_a_few_types_and_none_at_all():
    one = faces.render_faces(PLAIN | {"sunglasses": True, "smile": 1})
    assert (one == faces.render_faces(PLAIN | {"sunglasses": np.float64(1), "smile": np.array([1], np.int8)})).all()
    assert faces.render_faces(PLAIN | {"smile": np.zeros(0)}).shape == (0, 64, 64, 3)
    with pytest.raises(ValueError, match="count is 0: draw at least one face"):
        faces.draw_faces(0)
    with pytest.raises(ValueError, match="count is 0: draw at least one face"):
        faces.drawn_faces(train=5, validation=0, test=5)


def test_a_missing_factor():
    with pytest.raises(ValueError, match=r"background, smile: missing\. The factors"):
        faces.render_faces({name: 0 for name in faces.FACTORS if name not in ("smile", "background")})


def test_drawn_faces_come_as_pairs_in_a_fixed_order():
    data = faces.drawn_faces(train=30, validation=20, test=10, seed=3)
    assert data.names == tuple(faces.FACTORS)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 20, 10]
    images, attributes = next(iter(data.train.batch(30)))
    assert images.dtype == attributes.dtype == tf.float32
    assert images.shape == (30, 64, 64, 3) and attributes.shape == (30, len(data.names))
    drawn = faces.render_faces(dict(zip(data.names, attributes.numpy().T, strict=True)))
    np.testing.assert_allclose(images, drawn / 255, atol=1e-6)
    assert (next(iter(data.train.batch(30)))[0] == images).numpy().all()


def test_splits_of_drawn_faces_differ_and_do_not_depend_on_each_other():
    small, large = (faces.drawn_faces(train=count, validation=5, test=5) for count in (5, 50))
    parts = [next(iter(part.batch(5)))[1].numpy() for part in (small.train, small.validation, small.test)]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 15
    assert (next(iter(large.test.batch(5)))[1] == parts[2]).numpy().all()
