"""Models, networks, data, metrics and plots of the course.

Import from the modules: `from utils.vae import VAE`. Nothing is imported here, so that each module brings only what it
needs.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up notes tell a reader nothing
