"""Models, losses, data and pictures of the course: import from the modules named here.

A module imports only from those before it in this list.
"""

# runtime comes first: it quiets TensorFlow's log before anything else imports TensorFlow.
from utils import runtime  # isort: skip
from utils import (
    autoencoders,
    celeba,
    data,
    faces,
    gan,
    judge,
    metrics,
    plotting,
    results,
    stacking,
    synthetic,
    training,
    vae,
)

__all__ = [  # noqa: RUF022
    "runtime",
    "synthetic",
    "faces",
    "celeba",
    "data",
    "autoencoders",
    "vae",
    "gan",
    "metrics",
    "plotting",
    "training",
    "stacking",
    "results",
    "judge",
]
