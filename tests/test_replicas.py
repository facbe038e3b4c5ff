"""The same training on one device, on two, and by two workers."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import zoo

KINDS = ("autoencoder", "vae", "gan", "cgan", "judge")


def run(folder, *arguments, **environment):
    command = [sys.executable, zoo.__file__, *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
