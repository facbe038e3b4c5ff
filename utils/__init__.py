"""Models, networks, data, metrics and plots of the course.

Import from the modules: `from utils.vae import VAE`. Nothing is imported here, so that `utils.vae` brings only what a VAE
needs.
"""
