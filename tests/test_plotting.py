import io
import warnings

import keras
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from utils import plotting


def pictures(figure):
    return [image for axis in figure.axes for image in axis.images]


def captions(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_gray_range_is_fixed(images):
    pale = images / 10
    codes = np.linspace(-1, 1, 3)
    for figure in (
        plotting.image_grid(pale[:7], titles=range(7), columns=5),
        plotting.reconstructions({"original": pale[:4], "autoencoder": pale[4:8]}),
        plotting.manifold_grid(pale[:9].reshape(3, 3, 28, 28, 1), codes, codes),
    ):
        assert isinstance(figure, Figure)
        assert pictures(figure) and all(image.get_clim() == (0, 1) for image in pictures(figure))


def test_image_grid_draws_each_image_once(images):
    figure = plotting.image_grid(images[:7], titles="abcdefg", columns=5)
    assert len(pictures(figure)) == 7
    assert [axis.get_title() for axis in figure.axes[:7]] == list("abcdefg")


def test_reconstructions_have_titles_above_the_first_row(images):
    figure = plotting.reconstructions({"image": images[:3], "restored": images[3:6]}, np.arange(3))
    assert [axis.get_title() for axis in figure.axes] == ["0", "1", "2", "", "", ""]
    assert [axis.get_ylabel() for axis in figure.axes] == ["image", "", "", "restored", "", ""]


def test_manifold_grid_draws_codes_where_they_belong():
    images = np.zeros((2, 3, 28, 28, 1))
    images[1, 2] = 1  # the highest z2 and the highest z1: at the top right
    figure = plotting.manifold_grid(images, np.array([-1, 0, 1]), np.array([5, 6]))
    sheet = pictures(figure)[0].get_array()
    assert sheet.shape == (56, 84)
    assert sheet[:28, 56:].min() == 1 and sheet.sum() == 28 * 28
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["6.0", "5.0"]  # and no label twice


def test_every_plot_names_its_axes():
    values = {"ours": np.arange(3.0), "theirs": np.arange(3.0)[::-1]}
    for figure in (
        plotting.lines([1, 2, 3], values, "size", "error", references={"published": 1.5}, yscale="log"),
        plotting.training_curves({"loss": [3, 2], "val_loss": [4, 3]}, "squared error"),
        plotting.latent_scatter(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 10),
    ):
        axis = figure.axes[0]
        assert axis.get_xlabel() and axis.get_ylabel() and axis.get_legend()


def test_no_two_class_labels_lie_on_each_other():
    codes = np.random.default_rng(0).normal(size=(200, 2))
    figure = plotting.latent_scatter(codes, np.arange(200) % 10)  # ten classes with about the same center
    places = np.array([text.xy for text in figure.axes[0].texts])
    distance = np.linalg.norm((places[:, None] - places) / np.ptp(codes, axis=0), axis=-1)
    assert len(places) == 10 and distance[~np.eye(10, dtype=bool)].min() > 0.03


def test_references_are_drawn_with_their_value():
    figure = plotting.lines([1, 2], {"ours": [2.5, 2.0]}, "epoch", "error", references={"published": 1.386})
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["published: 1.39", "ours"]
    (dashed,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert set(dashed.get_ydata()) == {1.386}


def test_block_diagram_has_boxes_for_networks_and_an_arrow_for_each_step():
    blocks = {"(image)": (0, 0), "encoder": (1, 0), "loss": (1, 1)}
    figure = plotting.block_diagram(blocks, [["(image)", "encoder", "loss"], ["(image)", "loss"]])
    texts = {text.get_text(): text for text in figure.axes[0].texts if text.get_text()}
    assert set(texts) == {"image", "encoder", "loss"}
    edges = {name: text.get_bbox_patch().get_edgecolor()[3] for name, text in texts.items()}
    assert edges == {"image": 0, "encoder": 1, "loss": 1}
    assert len([text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]) == 3


def test_codes_without_any_spread_are_drawn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plotting.latent_scatter(np.zeros((20, 2)), np.arange(20) % 10)
    assert len(figure.axes[0].texts) == 10


def test_training_curves_need_no_metric_called_loss():
    assert len(plotting.training_curves({"d_loss": [3.0, 2.0], "g_loss": [1.0, 2.0]}, "nats").axes[0].containers) == 2


def test_training_curves_take_what_fit_returns():
    history = keras.callbacks.History()
    history.history = {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0]}
    (training, validation) = plotting.training_curves(history, "squared error").axes[0].containers
    assert list(training[0].get_ydata()) == [3, 2] and list(validation[0].get_ydata()) == [4, 3]


IMAGES, POINTS, LABELS = np.zeros((6, 28, 28, 1), np.float32), np.zeros((6, 2)), np.arange(6)
DRAWINGS = {  # of images, of points
    "image_grid": lambda images: plotting.image_grid(images),
    "reconstructions": lambda images: plotting.reconstructions({"originals": images, "ours": images}),
    "error_maps": lambda images: plotting.error_maps(IMAGES[: len(images)], images),
}
PLANES = {
    "latent_scatter": lambda points: plotting.latent_scatter(points, LABELS),
    "density": lambda points: plotting.density(points, points),
    "arrows": lambda points: plotting.arrows(points, points),
    "point_panels": lambda points: plotting.point_panels({"data": points}, limit=1),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize(
    "images", [IMAGES[:0], IMAGES + 255, IMAGES.astype(np.uint8) + 255, IMAGES + np.nan, IMAGES.reshape(6, -1)]
)
def test_images_that_cannot_be_drawn(draw, images):
    with pytest.raises(ValueError, match=r"cannot be drawn: give at least one .*divide bytes by 255"):
        draw(images)


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_black_and_white_images_of_any_type_are_drawn(draw, dtype):
    white = (IMAGES + 1).astype(dtype)
    drawn = [image.get_array() for image in pictures(draw(white))]
    assert any((image == 1).all() for image in drawn[:-1])
    assert draw is not DRAWINGS["error_maps"] or (drawn[-1] == -1).all()  # bytes would wrap


@pytest.mark.parametrize("draw", PLANES.values(), ids=PLANES)
@pytest.mark.parametrize("points", [POINTS[:0], POINTS[0], np.zeros((6, 3)), POINTS + np.nan])
def test_points_that_cannot_be_drawn(draw, points):
    with pytest.raises(ValueError, match=r"cannot be drawn: give at least one finite point, \(n, 2\)"):
        draw(points)


def test_data_that_do_not_belong_together():
    for labels in (LABELS[:5], LABELS + 10, LABELS + 0.5):
        with pytest.raises(ValueError, match="Give one label from 0 to 9 for each of the 6 codes"):
            plotting.latent_scatter(POINTS, labels)
    with pytest.raises(ValueError, match=r"The rows have \[3, 6\] images"):
        plotting.reconstructions({"originals": IMAGES, "ours": IMAGES[:3]})
    with pytest.raises(ValueError, match="at least one row"):
        plotting.reconstructions({})
    with pytest.raises(ValueError, match=r"have shape \(2, 3, 28, 28, 1\): give \(3, 2, height"):
        plotting.manifold_grid(IMAGES.reshape(2, 3, 28, 28, 1), np.arange(2), np.arange(3))
    with pytest.raises(ValueError, match="no values of 'other' to draw"):
        plotting.histograms({"normal": POINTS[0], "other": []}, "score")


# Machado, Oliveira and Fernandes 2009: how linear RGB looks to readers without red or green cones.
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(linear_rgb):
    f = np.cbrt(linear_rgb @ np.transpose(XYZ) / WHITE)  # exact but for near-black, where it exaggerates
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("colors", [plotting.PALETTE, plotting.CLASS_COLORS], ids=["palette", "classes"])
@pytest.mark.parametrize("sight", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["normal", "protanopia", "deuteranopia"])
def test_colors_can_be_told_apart(colors, sight):
    rgb = np.array([to_rgb(color) for color in colors])
    seen = lab((np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(sight)).clip(0, 1))
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)[~np.eye(len(colors), dtype=bool)]
    assert distance.min() > 10


def test_error_maps_draw_the_difference_around_white(images):
    figure = plotting.error_maps(images[:3], images[3:6])
    assert len(pictures(figure)) == 9
    difference = pictures(figure)[6]  # below the first image and its reconstruction
    assert difference.get_clim() == (-1, 1)
    assert (difference.get_array() == (images[0] - images[3])[..., 0]).all()
    assert difference.cmap(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.05)  # no difference is white


def test_curves_may_have_points_and_spreads_of_their_own():
    figure = plotting.curves({"a": ([1, 2], [3, 4]), "b": ([5, 6, 7], [1, 2, 3], [0.1, 0.2, 0.3])}, "x", "y")
    plain, spread = figure.axes[0].containers
    assert list(spread[0].get_xdata()) == [5, 6, 7] and spread.has_yerr and not plain.has_yerr


def test_histograms_show_shares_and_the_references():
    values = {"normal": np.zeros(10), "other": np.ones(1000)}
    figure = plotting.histograms(values, "score", {"threshold": 0.5})
    heights = [patch.get_xy()[:, 1].max() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([100, 100])  # whatever their number
    assert "threshold: 0.5" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_arrows_go_from_start_to_end():
    starts, ends = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.5, 0.0], [1.0, 3.0]])
    quiver = plotting.arrows(starts, ends, background=starts).axes[0].collections[-1]
    assert (quiver.get_offsets() == starts).all()
    assert list(quiver.U) == [0.5, 0] and list(quiver.V) == [0, 2]


def test_density_counts_codes_and_marks_points():
    codes = np.random.default_rng(0).normal(size=(500, 2))
    figure = plotting.density(codes, codes[:7], labels=("training codes", "random codes"))
    cells, points = figure.axes[0].collections
    assert cells.get_array().sum() == 500 and len(points.get_offsets()) == 7
    assert figure.axes[1].get_ylabel() == "training codes in a cell"


def test_color_images_are_drawn_in_color():
    red = np.zeros((4, 8, 8, 3))
    red[..., 0] = 1
    assert pictures(plotting.image_grid(red))[0].get_array().shape == (8, 8, 3)
    grid = plotting.manifold_grid(red.reshape(2, 2, 8, 8, 3), np.array([0, 1]), np.array([0, 1]), axis_names="ab")
    assert (pictures(grid)[0].get_array()[:, :, :2] == [1, 0]).all()
    assert (grid.axes[0].get_xlabel(), grid.axes[0].get_ylabel()) == ("a", "b")


def test_point_panels_share_their_axes_and_count_what_lies_outside():
    inside, astray = np.zeros((5, 2)), np.array([[0.0, 0.0], [3.0, 0.0], [0.0, -4.0]])
    figure = plotting.point_panels({"data": inside, "samples": astray}, limit=2, marked=[(1, 0)])
    data, samples = figure.axes
    assert [data.get_title(), samples.get_title()] == ["data", "samples"]
    assert [patch.center for patch in data.patches] == [(1, 0)]
    assert data.get_xlim() == samples.get_ylim() == (-2, 2)
    assert [text.get_text() for text in samples.texts] == ["2 outside"] and not data.texts
    assert data.get_xlabel() and data.get_ylabel() and samples.get_xlabel()


def test_the_lowest_panel_of_each_column_has_an_axis():
    figure = plotting.point_panels(dict.fromkeys("abc", np.zeros((2, 2))), limit=1, columns=2)
    panels = figure.axes[:3]  # nothing stands below the second
    assert [panel.get_xlabel() for panel in panels] == ["", "$x_1$", "$x_1$"]
    assert [panel.xaxis.get_tick_params()["labelbottom"] for panel in panels] == [False, True, True]
    assert [panel.get_ylabel() for panel in panels] == ["$x_2$", "", "$x_2$"]


def test_film_has_a_frame_for_each_epoch_with_the_images_in_two_rows():
    snapshots = np.zeros((3, 6, 28, 28, 1), np.uint8)
    snapshots[1, 4] = 255  # second epoch, second row, second column
    shown = plotting.film(snapshots, "six digits")
    frames = [np.array(frame.convert("L")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(shown.data)))]
    assert [frame.shape for frame in frames] == 3 * [(24 + 2 * 4 * 28, 3 * 4 * 28)]
    lit = frames[1][24:].reshape(2, 112, 3, 112).mean(axis=(1, 3))
    assert lit.argmax() == 4 and lit.max() == 255 and lit.sum() == 255
    assert (frames[0][:24] == 0).any() and shown.metadata == {"alt": "six digits"}


@pytest.mark.parametrize("wrong", [np.zeros((3, 5, 28, 28, 1), np.uint8), np.zeros((3, 6, 28, 28, 1)), np.uint8([])])
def test_film_says_what_it_takes(wrong):
    with pytest.raises(ValueError, match=r"snapshots are .*: give uint8 images \(epochs, even n"):
        plotting.film(wrong, "digits")
