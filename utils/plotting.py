"""Pictures of the course. Every helper takes arrays and returns a matplotlib Figure; none knows a model.

Images are in [0, 1], grey (n, height, width) or (n, height, width, 1), or colour (n, height, width, 3), and are drawn
on the fixed range 0..1, so that a pale picture is pale. Colours of lines and points are from Okabe and Ito's palette,
which colour-blind readers can tell apart.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

__all__ = [
    "PALETTE",
    "arrows",
    "bars",
    "block_diagram",
    "clouds",
    "curves",
    "density",
    "error_maps",
    "histograms",
    "image_grid",
    "latent_scatter",
    "lines",
    "manifold_grid",
    "point_panels",
    "reconstructions",
    "training_curves",
]

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
# Ten classes need more colours than the palette has: Tol's "muted" scheme, its pale grey replaced by black.
CLASS_COLOURS = ["#332288", "#CC6677", "#117733", "#DDCC77", "#AA4499", "#882255", "#44AA99", "#999933", "#88CCEE"]
CLASS_COLOURS += ["#000000"]
WIDTH = 8.0  # inches: the width of a notebook's page

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.prop_cycle": plt.cycler(color=PALETTE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "image.cmap": "gray",
        "legend.frameon": False,
    }
)


def _show(axis, image, cmap="gray", vmin=0) -> None:
    axis.imshow(np.squeeze(image), cmap=cmap, vmin=vmin, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set(visible=True, color="0.7", linewidth=0.5)  # so that white images have an edge on a white page


def image_grid(images, titles=None, columns=10):
    """Images in rows of `columns`, each under its title if there are titles."""
    rows = -(-len(images) // columns)
    height = 1.0 if titles is None else 1.3
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, WIDTH / columns * rows * height), squeeze=False)
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        _show(axis, image)
        if titles is not None:
            axis.set_title(titles[i], fontsize=9)
    plt.close(figure)
    return figure


def reconstructions(rows: dict[str, np.ndarray]):
    """Rows of images, one above the other, each with its name at the left: originals first."""
    count = len(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows), count, figsize=(WIDTH, 0.92 * WIDTH / (count + 2) * len(rows)), squeeze=False
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            _show(axis, image)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    plt.close(figure)
    return figure


def error_maps(images, reconstructions):
    """Three rows: images, their reconstructions, and the difference image - reconstruction.

    In the third row white is right, orange is ink that the reconstruction lacks, purple is ink that it invents.
    """
    figure, axes = plt.subplots(3, len(images), figsize=(WIDTH, 2.76 * WIDTH / (len(images) + 2)), squeeze=False)
    for column, image, reconstruction in zip(axes.T, images, reconstructions, strict=True):
        _show(column[0], image)
        _show(column[1], reconstruction)
        _show(column[2], image - reconstruction, cmap="PuOr_r", vmin=-1)
    for axis, name in zip(axes[:, 0], ("image", "reconstruction", "difference"), strict=True):
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    plt.close(figure)
    return figure


def latent_scatter(codes, labels, title="", axis_names=("$z_1$", "$z_2$")):
    """Two-dimensional codes (n, 2), coloured by class 0..9."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.7, WIDTH * 0.6))
    classes = np.unique(labels)
    for label in classes:
        chosen = labels == label
        axis.scatter(*codes[chosen].T, s=4, alpha=0.5, color=CLASS_COLOURS[label], label=str(label), linewidths=0)
    centres = np.array([np.median(codes[labels == label], axis=0) for label in classes])
    for label, place in zip(classes, _pushed_apart(centres, 0.05 * np.ptp(codes, axis=0)), strict=True):
        outline = [withStroke(linewidth=3, foreground="white")]
        axis.annotate(str(label), place, ha="center", va="center", weight="bold", path_effects=outline)
    axis.legend(title="digit", markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5))
    for legend_dot in axis.get_legend().legend_handles:
        legend_dot.set_alpha(1)
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    plt.close(figure)
    return figure


def clouds(means, stds, labels, title="", limit=None):
    """Normal distributions q(z|x) in the plane, means and stds (n, 2): dots, and ellipses of one standard deviation.

    Their colour is the class 0..9. Circles mark one, two and three standard deviations of the prior N(0, 1). The axes
    end at ±limit, or else where the data and the circles do.
    """
    figure, axis = plt.subplots(figsize=(WIDTH * 0.62, WIDTH * 0.55))
    for label in np.unique(labels):
        chosen = labels == label
        ellipses = EllipseCollection(
            *2 * stds[chosen].T, 0, units="xy", offsets=means[chosen], offset_transform=axis.transData
        )
        ellipses.set(facecolor=CLASS_COLOURS[label], alpha=0.5, edgecolor="none")
        axis.add_collection(ellipses)
        axis.scatter(*means[chosen].T, s=2, color=CLASS_COLOURS[label], linewidths=0)  # for ellipses too small to see
    for radius in (1, 2, 3):
        axis.add_patch(Circle((0, 0), radius, fill=False, color="black", linestyle="--", linewidth=0.8))
    limit = limit or 1.05 * max(3, np.abs(means).max())
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal")
    handles = [Patch(color=CLASS_COLOURS[label], label=str(label)) for label in np.unique(labels)]
    axis.legend(handles=handles, title="digit", loc="center left", bbox_to_anchor=(1, 0.5))
    plt.close(figure)
    return figure


def density(codes, marked, labels=("codes", "marked"), axis_names=("$z_1$", "$z_2$")):
    """How many of the codes (n, 2) lie in each cell of the plane, on a log scale, and `marked` points (m, 2)."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.7, WIDTH * 0.6))
    cells = axis.hexbin(*np.transpose(codes), gridsize=60, bins="log", cmap="viridis", mincnt=1, linewidths=0)
    axis.scatter(*np.transpose(marked), s=14, color=PALETTE[1], marker="x", linewidths=1, label=labels[1])
    figure.colorbar(cells, ax=axis, label=f"{labels[0]} in a cell")
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axis.grid(False)
    figure.legend(loc="outside upper center")
    plt.close(figure)
    return figure


def _pushed_apart(places, reach):
    """Places (n, 2), moved until no two are closer than `reach` (2,) in both directions together."""
    places = places / reach
    for _ in range(100):
        away = places[:, None] - places
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        places = places + np.where(distance < 1, 0.1 * away / np.maximum(distance, 1e-3), 0).sum(axis=1)
    return places * reach


def lines(x, series: dict[str, np.ndarray], xlabel, ylabel, references=None, **scales):
    """Line plot of one or more series over the same x; the rest as in `curves`."""
    return curves({name: (x, values) for name, values in series.items()}, xlabel, ylabel, references, **scales)


def curves(series: dict[str, tuple], xlabel, ylabel, references=None, **scales):
    """Line plot of series, each (x, y) or (x, y, spread), with dashed horizontal lines at `references` (name -> value).

    A spread is drawn as error bars from y - spread to y + spread. `scales` go to the axes: xscale="log", say.
    """
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, WIDTH * 0.42))
    for i, (name, (x, y, *spread)) in enumerate(series.items()):
        # From the eighth curve on, colours repeat: so a dotted line tells it from the first.
        style = {"marker": "o" if len(x) <= 12 else "", "linestyle": "-" if i < len(PALETTE) else ":"}
        axis.errorbar(x, y, *spread, **style, markersize=4, capsize=3, label=name)
    _add_references(axis.axhline, references, skip=len(series))
    axis.set(xlabel=xlabel, ylabel=ylabel, **scales)
    for side in (axis.xaxis, axis.yaxis):
        if side.get_scale() == "log":
            least, most = side.get_view_interval()
            side.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 3_000 * least else (1,)))
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(NullFormatter())
    axis.legend()
    plt.close(figure)
    return figure


def histograms(values: dict[str, np.ndarray], xlabel, threshold=None, **scales):
    """Share of values in each of 50 bins, one outline for each name, and a dashed line at `threshold`."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, WIDTH * 0.36))
    bins = np.histogram_bin_edges(np.concatenate([np.ravel(v) for v in values.values()]), 50)
    for i, (name, numbers) in enumerate(values.items()):
        shares = np.full(len(numbers), 100 / len(numbers))
        style = {"histtype": "stepfilled", "alpha": 0.5} if i == 0 else {"histtype": "step", "linewidth": 1.5}
        axis.hist(numbers, bins, weights=shares, color=PALETTE[i], label=name, **style)
    if threshold is not None:
        axis.axvline(threshold, linestyle="--", color="black", label=f"threshold: {threshold:.3g}")
    axis.set(xlabel=xlabel, ylabel="% of images in the bin", **scales)
    axis.legend()
    plt.close(figure)
    return figure


def arrows(starts, ends, background=None):
    """Arrows in the plane from points (n, 2) to points (n, 2), over a cloud of `background` points (m, 2)."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.62, WIDTH * 0.55))
    if background is not None:
        axis.scatter(*np.transpose(background), s=4, color="0.6", linewidths=0, label="data")
        axis.legend()
    way = np.asarray(ends) - starts
    axis.quiver(*np.transpose(starts), *way.T, angles="xy", scale_units="xy", scale=1, width=0.003, color=PALETTE[0])
    axis.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    plt.close(figure)
    return figure


def point_panels(panels: dict[str, np.ndarray], limit, marked=(), columns=4):
    """Points in the plane (n, 2), each set in a square panel under its name; all axes end at ±limit.

    In each panel `marked` places (m, 2) are drawn as rings.
    A caption in the panel's corner counts the points that lie outside, if there are any.
    """
    side, columns = WIDTH / columns, min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = side * columns, 1.1 * side * rows
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (name, points) in zip(axes.flat, panels.items(), strict=False):
        axis.scatter(*np.transpose(points), s=3, alpha=0.15, color=PALETTE[0], linewidths=0)
        for place in marked:
            axis.add_patch(Circle(place, 0.06 * limit, fill=False, color=PALETTE[1], linewidth=0.8))
        if outside := int((np.abs(points) > limit).any(axis=1).sum()):
            axis.text(0.03, 0.03, f"{outside} outside", transform=axis.transAxes, fontsize=8)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.set_title(name, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("$x_1$")
    for axis in axes[:, 0]:
        axis.set_ylabel("$x_2$")
    plt.close(figure)
    return figure


def training_curves(history: dict[str, list[float]], ylabel, **scales):
    """A metric of training and validation over epochs: `history` as Keras returns it."""
    epochs = np.arange(1, len(history["loss"]) + 1)
    names = {"loss": "training", "val_loss": "validation"}
    return lines(epochs, {names.get(k, k): v for k, v in history.items()}, "epoch", ylabel, **scales)


def bars(values: dict[str, float], xlabel, references=None, digits=1):
    """Horizontal bars, each named with its value, and dashed lines at `references` (name -> value)."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 0.8 + 0.38 * len(values)))
    names = [f"{name}: {value:.{digits}f}" for name, value in values.items()]
    axis.barh(names, list(values.values()), color=PALETTE[: len(values)])
    _add_references(axis.axvline, references, skip=len(values), digits=digits)
    axis.invert_yaxis()
    axis.set_xlabel(xlabel)
    axis.grid(axis="y", visible=False)
    if references:
        figure.legend(loc="outside lower right")
    plt.close(figure)
    return figure


def _add_references(draw, references, skip, digits=1) -> None:
    for i, (name, value) in enumerate((references or {}).items()):
        draw(value, linestyle="--", color=PALETTE[(skip + i) % len(PALETTE)], label=f"{name}: {value:.{digits}f}")


def manifold_grid(images, z1, z2, title="", axis_names=("$z_1$", "$z_2$")):
    """Decoded images (len(z2), len(z1), height, width, channels), each at its code: z1 to the right, z2 upwards."""
    tiles = images[::-1]
    sheet = tiles.swapaxes(1, 2).reshape(len(z2) * tiles.shape[2], len(z1) * tiles.shape[3], -1)
    figure, axis = plt.subplots(figsize=(WIDTH * 0.65, WIDTH * 0.65 * len(z2) / len(z1)))
    axis.imshow(np.squeeze(sheet), vmin=0, vmax=1)
    axis.grid(False)
    for name, values, size in (("x", z1, tiles.shape[3]), ("y", z2[::-1], tiles.shape[2])):
        some = np.linspace(0, len(values) - 1, 5).astype(int)
        axis.set(**{f"{name}ticks": (some + 0.5) * size, f"{name}ticklabels": [f"{values[i]:.1f}" for i in some]})
    axis.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    plt.close(figure)
    return figure


def block_diagram(blocks: dict[str, tuple[float, float]], paths: list[list[str]]):
    """Boxes, and arrows along paths from box to box.

    Args:
        blocks: text of a box -> its centre (column, row), rows counted downwards. A text in round brackets stands
            without a box: data rather than a network.
        paths: each a list of such texts, joined by arrows in this order.
    """
    columns, rows = np.array(list(blocks.values())).T
    figure, axis = plt.subplots(figsize=(min(WIDTH, 1.6 * (np.ptp(columns) + 1)), 0.95 * (np.ptp(rows) + 1)))
    axis.set(xlim=(columns.min() - 0.5, columns.max() + 0.5), ylim=(rows.max() + 0.5, rows.min() - 0.5))
    axis.axis("off")
    drawn = {}
    for text, (column, row) in blocks.items():
        boxed = not text.startswith("(")
        edge = (
            {"facecolor": "#E8F1F8", "edgecolor": PALETTE[0]} if boxed else {"facecolor": "none", "edgecolor": "none"}
        )
        style = {"boxstyle": "round,pad=0.7" if boxed else "round,pad=0.2", **edge}
        label = text if boxed else text[1:-1]
        drawn[text] = axis.text(column, row, label, ha="center", va="center", fontsize=9, bbox=style)
    for path in paths:
        for start, end in pairwise(path):
            style = {"arrowstyle": "-|>", "color": "black", "shrinkA": 1, "shrinkB": 1}
            style |= {"patchA": drawn[start].get_bbox_patch(), "patchB": drawn[end].get_bbox_patch()}
            axis.annotate("", blocks[end], blocks[start], arrowprops=style)
    plt.close(figure)
    return figure
