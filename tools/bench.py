"""How fast the models of the course train, and in how much memory, beside reference models: `python -m tools.bench`.

Each model gets a process of its own. Images per second are those of `fit`, after its first batch; memory is the largest
that the process ever had, with TensorFlow and the data (native Windows does not tell it). All figures of a table are of
one run on one machine: compare their ratios. Below the table: how long a slider takes to draw its picture, both in a
notebook and, where Chromium is installed, on a page of the site.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from tools import COURSE, explorers, judge
from tools.references import course_dcgan, keras_vae, tutorial_dcgan
from utils.autoencoders import Autoencoder
from utils.drawn.digits import draw_digits
from utils.explore import explore_attributes, explore_classes, explore_plane
from utils.gan import GAN, ConditionalGAN
from utils.networks import (
    conditional_discriminator,
    conditional_generator,
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_discriminator,
    dense_encoder,
    dense_generator,
)
from utils.vae import VAE

SECONDS = 5.0


def adam():
    return keras.optimizers.Adam(1e-3)


def compiled(model, optimizers=1):
    model.compile(*[adam() for _ in range(optimizers)])
    return model


# name -> the model, the size of a batch, and the reference that it is compared with; sizes as in the chapters
MODELS = {
    "dense autoencoder": (
        lambda: compiled(Autoencoder(dense_encoder(30, (512, 256)), dense_decoder(30, (256, 512)))),
        64,
        None,
    ),
    "01, convolutional autoencoder": (
        lambda: compiled(Autoencoder(convolutional_encoder(30), convolutional_decoder(30))),
        64,
        None,
    ),
    "06, VAE of two latents": (
        lambda: compiled(VAE(dense_encoder(4, (512, 256, 128)), dense_decoder(2, (128, 256, 512)))),
        128,
        "VAE of keras.io",
    ),
    "06, VAE of forty": (
        lambda: compiled(VAE(dense_encoder(80, (512, 512)), dense_decoder(40, (512, 512)))),
        128,
        None,
    ),
    "08, dense GAN": (
        lambda: compiled(GAN(dense_generator(64), dense_discriminator(), 64, gradient_penalty=0.1), 2),
        128,
        None,
    ),
    "09, DCGAN": (
        lambda: compiled(course_dcgan(), 2),
        128,
        "TensorFlow's DCGAN",
    ),
    "10, conditional GAN": (
        lambda: compiled(
            ConditionalGAN(conditional_generator(64), conditional_discriminator(), 64, 10, gradient_penalty=0.1), 2
        ),
        128,
        None,
    ),
    "judge": (judge.compiled_classifier, judge.BATCH_SIZE, None),
    "VAE of keras.io": (keras_vae, 128, None),
    "TensorFlow's DCGAN": (tutorial_dcgan, 256, None),
}


def measure(name: str) -> dict:
    """Of the model: its parameters, images per second, and the peak of this process's memory in MB."""
    build, batch_size, _ = MODELS[name]
    drawn, labels, _ = draw_digits(9_984, seed=0)  # in whole batches
    images = drawn[..., None].astype(np.float32) / 255
    keras.utils.set_random_seed(0)
    model = build()
    model.jit_compile = False
    ends = []  # of the batches; Keras traces the graph in the first

    def note(batch, logs):
        ends.append(time.perf_counter())
        model.stop_training = len(ends) > 2 and ends[-1] - ends[0] > SECONDS

    told = (labels,) if isinstance(model, ConditionalGAN | keras.Sequential) else ()
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    model.fit(images, *told, batch_size=batch_size, epochs=10_000, verbose=0, callbacks=[watch])
    speed = batch_size * (len(ends) - 1) / (ends[-1] - ends[0])
    return {"parameters": model.count_params(), "pace": speed, "memory": peak_memory()}


def peak_memory() -> float:
    """The most memory that this process ever had, in MB; not a number on native Windows."""
    with contextlib.suppress(ImportError):
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes on macOS, kilobytes elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return float("nan")


def frame_times() -> dict[str, float]:
    """Milliseconds from a move of the first slider to the new picture, the median of twenty, by kind of explorer."""
    vae = VAE(dense_encoder(4, (512, 256)), dense_decoder(2, (256, 512)), seed=0)
    image = draw_digits(1, seed=0)[0][0, ..., None].astype(np.float32) / 255
    gan = ConditionalGAN(conditional_generator(64), conditional_discriminator(), 64, 10)
    explorers = {
        "06, slider in the plane": explore_plane(vae),
        "07, slider of an attribute": explore_attributes(vae, image, {"first": np.float32([1, 0])}),
        "10, choice of a digit": explore_classes(gan),
    }
    return {name: frame_time(explorer.children[0]) for name, explorer in explorers.items()}


def frame_time(control) -> float:
    times = []
    for turn in range(20):
        start = time.perf_counter()
        control.value = 1 - turn % 2
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


# Moves the slider of each explorer that costs most, for the flow that of the guidance, and writes the milliseconds that
# each new picture took into the page.
PAGE = """<!doctype html><meta charset="utf-8"><script src="explorers.js"></script>{scripts}<body><script>
const times = {{}};
for (const name of {names}) {{
  const root = document.body.appendChild(document.createElement("div"));
  const draw = explorers.show(root, name), sliders = root.querySelectorAll("input[type=range]");
  const slider = sliders[name === "flow" ? 1 : 0];
  times[name] = Array.from({{ length: {turns} }}, (_, turn) => {{
    slider.value = turn % 2;
    slider.dispatchEvent(new Event("input"));
    const start = performance.now();
    draw();
    return performance.now() - start;
  }});
}}
document.body.textContent = JSON.stringify(times);
</script>"""
TURNS = 60  # of which the first third lets the browser compile the code


def page_times() -> dict[str, tuple[float, float]]:
    """Milliseconds of a picture of each explorer of the site, the median and the slowest; empty without Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder, names = Path(name), list(explorers.EXPLORERS)
        explorers.write(folder / "explorers")
        shutil.copy(COURSE / "tools" / "explorers.js", folder)
        scripts = "".join(f'<script src="explorers/{name}.js"></script>' for name in explorers.FILES)
        (folder / "page.html").write_text(PAGE.format(scripts=scripts, names=names, turns=TURNS), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
        command = [browser, *options, (folder / "page.html").as_uri()]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r"<body>({.*})</body>", run.stdout, re.DOTALL)
    if not found:
        raise SystemExit(f"The explorers could not be measured in {browser}:\n{run.stderr[-2_000:]}")
    late = {name: times[TURNS // 3 :] for name, times in json.loads(found[1]).items()}
    return {name: (float(np.median(times)), max(times)) for name, times in late.items()}


def main() -> None:
    found = {}
    print(f"{'model':<32}{'parameters':>12}{'images/s':>10}{'peak MB':>9}  against its reference")
    for name, (_, _, reference) in reversed(MODELS.items()):
        run = subprocess.run([sys.executable, "-m", "tools.bench", name], capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"{name} could not be measured:\n{run.stderr[-2_000:]}")
        found[name] = json.loads(run.stdout.splitlines()[-1])
        parameters, pace, memory = found[name].values()
        ratio = f"{pace / found[reference]['pace']:.1f} times as fast" if reference else ""
        print(f"{name:<32}{parameters:>12,}{pace:>10,.0f}{memory:>9,.0f}  {ratio}", flush=True)
    print(f"\n{'slider':<32}{'ms a picture':>12}")
    for name, milliseconds in frame_times().items():
        print(f"{name:<32}{milliseconds:>12.0f}", flush=True)
    print(f"\n{'explorer of the site':<32}{'ms a picture':>12}{'at most':>9}")
    for name, (median, slowest) in page_times().items():
        chapter = explorers.EXPLORERS[name].chapter[:2]
        print(f"{f'{chapter}, {name}':<32}{median:>12.1f}{slowest:>9.1f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
