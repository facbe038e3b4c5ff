"""Models, losses, data and pictures of the course: import from the modules named here.

A module imports only from those before it in this list.
"""

# runtime comes first: it quiets TensorFlow's log before anything else imports TensorFlow.
from utils import runtime  # isort: skip
from utils import (
    autoencoders,
    celeba,
    checkpoints,
    data,
    faces,
    fingerprint,
    gan,
    interactive,
    judge,
    metrics,
    plotting,
    replicas,
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
    "replicas",
    "autoencoders",
    "vae",
    "gan",
    "metrics",
    "plotting",
    "checkpoints",
    "fingerprint",
    "training",
    "stacking",
    "results",
    "judge",
    "interactive",
]
