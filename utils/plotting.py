"""Plots of the course: functions that take arrays, know no model, and return a matplotlib Figure.

Images are (n, height, width), (n, height, width, 1) or, in RGB, (n, height, width, 3), always drawn on the range from
0 to 1, so that brightness is comparable. The palette is Okabe and Ito's, which color-blind readers can distinguish.
"""

import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import Image
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image as Picture
from PIL import ImageDraw

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
# Ten classes need more colors: Tol's "muted" scheme with black; digits that look alike (4 7 9, 3 5 8) differ most.
CLASS_COLORS = "#332288 #88CCEE #999933 #CC6677 #DDCC77 #44AA99 #882255 #117733 #000000 #AA4499".split()
WIDTH = 8.0  # inches, the width of a page in a notebook

plt.rc("axes", grid=True, prop_cycle=cycler(color=PALETTE))
plt.rc("axes.spines", top=False, right=False)
plt.rc("figure", dpi=96)
plt.rc("figure.constrained_layout", use=True)
plt.rc("font", size=10)
plt.rc("grid", alpha=0.3)
plt.rc("image", cmap="gray")
plt.rc("legend", frameon=False)


def _subplots(rows=1, columns=1, width=0.75, height=0.42, **options):
    """An empty figure of this size, in units of WIDTH, and its axes. Closed, so that a notebook shows it only once."""
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH * width, WIDTH * height), **options)
    plt.close(figure)
    return figure, axes


def _images(images, name="images") -> np.ndarray:
    images = np.asarray(images, np.float32)
    if images.ndim not in (3, 4) or not images.size or not np.abs(images).max() < 10:  # [0, 1], or a linear output
        needed = "at least one (height, width, channels), finite, from 0 to 1 (divide bytes by 255)"
        raise ValueError(f"The {name}, shape {images.shape}, cannot be drawn: give {needed}.")
    return images


def _points(points, name, labels=None) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"The {name}, shape {points.shape}, cannot be drawn: give at least one finite point, (n, 2).")
    if labels is not None and (np.shape(labels) != (len(points),) or not np.isin(labels, range(10)).all()):
        raise ValueError(f"Give one label from 0 to 9 for each of the {len(points)} {name}.")
    return points


def _show(axis, image, title="", cmap="gray", vmin=0) -> None:
    axis.imshow(np.squeeze(image), cmap=cmap, vmin=vmin, vmax=1)
    axis.set_title(title, fontsize=9)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set(visible=True, color="0.7", linewidth=0.5)  # a white image needs an edge on a white page


def image_grid(images, titles=None, columns=10):
    """Images in rows of `columns`, each below its title if there are titles."""
    images = _images(images)
    rows = -(-len(images) // columns)
    height = rows / columns * (1.0 if titles is None else 1.3)
    figure, axes = _subplots(rows, columns, 1, height, squeeze=False)
    plt.setp(axes.flat[len(images) :], visible=False)
    titles = [""] * len(images) if titles is None else titles
    for axis, image, title in zip(axes.flat[: len(images)], images, titles, strict=True):
        _show(axis, image, title)
    return figure


def reconstructions(rows: dict[str, np.ndarray], titles=None):
    """Rows of equally many images, each row with its name on the left; `titles` stand above the columns."""
    rows = {name: _images(images, f"images {name!r}") for name, images in rows.items()}
    if len(counts := {len(images) for images in rows.values()}) != 1:
        raise ValueError(f"The rows have {sorted(counts)} images: give at least one row, and equally many in each.")
    (count,) = counts
    figure, axes = _subplots(len(rows), count, 1, 0.92 / (count + 2) * len(rows), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image, title in zip(line, images, [""] * count if titles is None else titles, strict=True):
            _show(axis, image, title if line[0] is axes[0, 0] else "")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return figure


def error_maps(images, reconstructed):
    """Images, reconstructions and their difference: white is no error, orange missing ink, purple excess ink."""
    figure = reconstructions({"image": images, "reconstruction": reconstructed, "difference": images})
    for axis, image, reconstruction in zip(figure.axes[-len(images) :], images, reconstructed, strict=True):
        axis.images[0].remove()
        _show(axis, np.subtract(image, reconstruction, dtype=np.float32), cmap="PuOr_r", vmin=-1)
    return figure


def latent_scatter(codes, labels, title="", axis_names=("$z_1$", "$z_2$")):
    """Two-dimensional codes (n, 2), colored by class 0..9."""
    codes, labels = _points(codes, "codes", labels), np.asarray(labels, int)
    figure, axis = _subplots(width=0.7, height=0.6)
    classes = np.unique(labels)
    for label in classes:
        chosen = labels == label
        axis.scatter(*codes[chosen].T, s=7, alpha=0.6, color=CLASS_COLORS[label], label=str(label), linewidths=0)
    centers = np.array([np.median(codes[labels == label], axis=0) for label in classes])
    for label, place in zip(classes, _pushed_apart(centers, 0.05 * np.ptp(codes, axis=0) + 1e-9), strict=True):
        outline = [withStroke(linewidth=3, foreground="white")]
        axis.annotate(str(label), place, ha="center", va="center", weight="bold", path_effects=outline)
    legend = axis.legend(title="digit", markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.setp(legend.legend_handles, alpha=1)
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    return figure


def density(codes, marked, labels=("codes", "marked"), axis_names=("$z_1$", "$z_2$")):
    """Number of codes (n, 2) in each cell of the plane, on a log scale, and `marked` points (m, 2)."""
    codes, marked = _points(codes, "codes"), _points(marked, "marked points")
    figure, axis = _subplots(width=0.7, height=0.6)
    cells = axis.hexbin(*codes.T, gridsize=60, bins="log", cmap="viridis", mincnt=1, linewidths=0)
    axis.scatter(*marked.T, s=14, color=PALETTE[1], marker="x", linewidths=1, label=labels[1])
    figure.colorbar(cells, ax=axis, label=f"{labels[0]} in a cell")
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axis.grid(False)
    figure.legend(loc="outside upper center")
    return figure


def _pushed_apart(places, reach):
    """Places (n, 2), moved until their distances are at least 1, in units of `reach` (2,)."""
    places = places / reach
    for _ in range(100):
        away = places[:, None] - places
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        places = places + np.where(distance < 1, 0.1 * away / np.maximum(distance, 1e-3), 0).sum(axis=1)
    return places * reach


def lines(x, series: dict[str, np.ndarray], xlabel, ylabel, references=None, **scales):
    """Line plot of series with the same x; otherwise like `curves`."""
    return curves({name: (x, values) for name, values in series.items()}, xlabel, ylabel, references, **scales)


def curves(series: dict[str, tuple], xlabel, ylabel, references=None, **scales):
    """Line plot of series, each (x, y) or (x, y, spread), with dashed horizontal lines at `references` (name -> value).

    Error bars extend from y - spread to y + spread. `scales` are properties of the axes, such as xscale="log".
    """
    figure, axis = _subplots()
    for i, (name, (x, y, *spread)) in enumerate(series.items()):
        # Colors repeat after the eighth curve; a dotted line distinguishes the ninth from the first.
        style = {"marker": "o" if len(x) <= 12 else "", "linestyle": "-" if i < len(PALETTE) else ":"}
        axis.errorbar(x, y, *spread, **style, markersize=4, capsize=3, label=name)
    for i, (name, value) in enumerate((references or {}).items(), start=len(series)):
        axis.axhline(value, linestyle="--", color=PALETTE[i % len(PALETTE)], label=f"{name}: {value:.3g}")
    axis.set(xlabel=xlabel, ylabel=ylabel, **scales)
    for side in (axis.xaxis, axis.yaxis):
        if side.get_scale() == "log":
            least, most = side.get_view_interval()
            side.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 3_000 * least else (1,)))
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(NullFormatter())
    axis.legend()
    return figure


def histograms(values: dict[str, np.ndarray], xlabel, references=None, **scales):
    """Percentage of values in each of 50 bins, one outline per name; dashed lines at `references` (name -> value)."""
    if empty := [name for name, numbers in values.items() if not np.size(numbers)]:
        raise ValueError(f"There are no values of {empty[0]!r} to draw: the selection is empty.")
    figure, axis = _subplots(width=0.75, height=0.36)
    bins = np.histogram_bin_edges(np.concatenate([np.ravel(v) for v in values.values()]), 50)
    for i, (name, numbers) in enumerate(values.items()):
        shares = np.full(len(numbers), 100 / len(numbers))
        style = {"histtype": "stepfilled", "alpha": 0.5} if i == 0 else {"histtype": "step", "linewidth": 1.5}
        axis.hist(numbers, bins, weights=shares, color=PALETTE[i], label=name, **style)
    for name, value in (references or {}).items():
        axis.axvline(value, linestyle="--", color="black", label=f"{name}: {value:.3g}")
    axis.set(xlabel=xlabel, ylabel="% of images in the bin", **scales)
    axis.legend()
    return figure


def arrows(starts, ends, background=None):
    """Arrows in the plane from `starts` (n, 2) to `ends` (n, 2), over `background` points (m, 2)."""
    starts, ends = _points(starts, "starts"), _points(ends, "ends")
    figure, axis = _subplots(width=0.62, height=0.55)
    if background is not None:
        axis.scatter(*np.transpose(background), s=4, color="0.6", linewidths=0, label="data")
        axis.legend(markerscale=4)
    axis.quiver(*starts.T, *(ends - starts).T, angles="xy", scale_units="xy", scale=1, width=0.003, color=PALETTE[0])
    axis.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    return figure


def point_panels(panels: dict[str, np.ndarray], limit, marked=(), columns=4):
    """Sets of points in the plane (n, 2), each in a square panel with its name; all axes extend to ±limit.

    Rings show the `marked` places (m, 2). A caption in a corner says how many points are outside, if any.
    """
    panels = {name: _points(points, f"points in {name!r}") for name, points in panels.items()}
    side, columns = 1 / columns, min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = _subplots(rows, columns, side * columns, 1.1 * side * rows, sharex=True, sharey=True, squeeze=False)
    plt.setp(axes.flat[len(panels) :], visible=False)
    for i, (axis, (name, points)) in enumerate(zip(axes.flat, panels.items(), strict=False)):
        lowest = i + columns >= len(panels)  # in its column
        axis.scatter(*points.T, s=3, alpha=0.15, color=PALETTE[0], linewidths=0)
        for place in marked:
            axis.add_patch(Circle(place, 0.06 * limit, fill=False, color=PALETTE[1], linewidth=0.8))
        if outside := int((np.abs(points) > limit).any(axis=1).sum()):
            axis.text(0.03, 0.03, f"{outside} outside", transform=axis.transAxes, fontsize=8)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.set(xlabel="$x_1$" if lowest else "", ylabel="" if i % columns else "$x_2$")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelbottom=lowest)
    return figure


def training_curves(history: dict[str, list[float]], ylabel, **scales):
    """A metric of training and validation over the epochs; `history` is what `fit` returns, or its dictionary."""
    history = getattr(history, "history", history)
    names = {"loss": "training", "val_loss": "validation"}
    series = {names.get(name, name): values for name, values in history.items()}
    return lines(range(1, len(next(iter(series.values()))) + 1), series, "epoch", ylabel, **scales)


def manifold_grid(images, z1, z2, title="", axis_names=("$z_1$", "$z_2$")):
    """Decoded images (len(z2), len(z1), height, width, channels), each at its code: z1 to the right, z2 upward."""
    if np.shape(images)[:2] != (len(z2), len(z1)):
        raise ValueError(f"images have shape {np.shape(images)}: give ({len(z2)}, {len(z1)}, height, width, channels).")
    tiles = np.asarray(images)[::-1]
    sheet = tiles.swapaxes(1, 2).reshape(len(z2) * tiles.shape[2], len(z1) * tiles.shape[3], -1)
    figure, axis = _subplots(width=0.65, height=0.65 * len(z2) / len(z1))
    axis.imshow(np.squeeze(sheet), vmin=0, vmax=1)
    axis.grid(False)
    for name, values, size in (("x", z1, tiles.shape[3]), ("y", z2[::-1], tiles.shape[2])):
        some = np.unique(np.linspace(0, len(values) - 1, 5).astype(int))
        axis.set(**{f"{name}ticks": (some + 0.5) * size, f"{name}ticklabels": [f"{values[i]:.1f}" for i in some]})
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    return figure


def block_diagram(blocks: dict[str, tuple[float, float]], paths: list[list[str]]):
    """Boxes with arrows between them.

    `blocks` gives the text of each box and its center (column, row), with rows counted downward. A text in
    parentheses is data rather than a network and gets no box. A path is a list of texts, connected by arrows.
    """
    columns, rows = np.array(list(blocks.values())).T
    width, height = 1.6 * (np.ptp(columns) + 1) / WIDTH, 0.95 * (np.ptp(rows) + 1) / WIDTH
    figure, axis = _subplots(width=min(1, width), height=height)
    axis.set(xlim=(columns.min() - 0.5, columns.max() + 0.5), ylim=(rows.max() + 0.5, rows.min() - 0.5))
    axis.axis("off")
    box = {"boxstyle": "round,pad=0.7", "facecolor": "#E8F1F8", "edgecolor": PALETTE[0]}
    no_box = {"boxstyle": "round,pad=0.2", "facecolor": "none", "edgecolor": "none"}
    patches = {}
    for text, place in blocks.items():
        label, style = (text[1:-1], no_box) if text.startswith("(") else (text, box)
        patches[text] = axis.text(*place, label, ha="center", va="center", fontsize=9, bbox=style).get_bbox_patch()
    arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 1, "shrinkB": 1}
    for start, end in (step for path in paths for step in pairwise(path)):
        ends = {"patchA": patches[start], "patchB": patches[end]}
        axis.annotate("", blocks[end], blocks[start], arrowprops=arrow | ends)
    return figure


def film(snapshots, alt):
    """An animated GIF of uint8 images (epochs, even n, height, width, 1), in two rows; each frame names its epoch."""
    shape, kind = np.shape(snapshots), np.asarray(snapshots).dtype
    if len(shape) != 5 or shape[-1] != 1 or shape[1] % 2 or not all(shape) or kind != np.uint8:
        raise ValueError(f"snapshots are {kind} {shape}: give uint8 images (epochs, even n, height, width, 1).")
    frames = []
    for epoch, images in enumerate(snapshots, start=1):
        sheet = np.vstack([np.hstack(row) for row in np.split(images[..., 0], 2)]).repeat(4, axis=0).repeat(4, axis=1)
        frames.append(Picture.fromarray(np.pad(sheet, ((24, 0), (0, 0)), constant_values=255)))
        ImageDraw.Draw(frames[-1]).text((4, 4), f"epoch {epoch}", fill=0, font_size=16)
    buffer, times = io.BytesIO(), [500] * (len(frames) - 1) + [3_000]  # milliseconds
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return Image(buffer.getvalue(), format="gif", metadata={"alt": alt})
