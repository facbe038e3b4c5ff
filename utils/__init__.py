"""Models, networks, data, metrics and plots of the course.

Import from the modules, such as `from utils.vae import VAE`: each brings only what it needs.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"  # also where Keras is set up for another one
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up notes tell a reader nothing
for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):  # a console may lack a letter, such as é on a Korean Windows (cp949)
        stream.reconfigure(errors="replace")
