"""The networks that the site's explorers run: what is written for them, and what the script makes of it.

Layers are compared with Keras by Node.js, where there is one; whole explorers in a browser (`make site-test`).
"""

import base64
import json
import shutil
import subprocess
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from tools import chapters, explorers
from utils.autoencoders import Autoencoder
from utils.course.fingerprint import describe
from utils.course.session import COURSE
from utils.data import load_mnist
from utils.flow import FlowMatching
from utils.gan import ConditionalGAN
from utils.networks import (
    conditional_discriminator,
    conditional_generator,
    dense_decoder,
    dense_encoder,
    velocity_network,
)
from utils.vae import VAE

SCRIPT = COURSE / "tools" / "explorers.js"
NODE = shutil.which("node")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")  # else the one that playwright installs


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def sequential(*stack):
    return keras.Sequential([keras.Input((6,)), *stack])


def labeled(*stack):
    z, label = keras.Input((6,)), keras.Input((), dtype="int32")
    image = layers.Concatenate()([z, layers.CategoryEncoding(3, "one_hot")(label)])
    for layer in stack:
        image = layer(image)
    return keras.Model([z, label], image)


def residual(*merge):
    x = h = keras.Input((6,))
    for layer in merge:
        h = layer([h, layers.Dense(6, "silu")(h)])
    return keras.Model(x, h)


def trained(model):
    """The model with weights, moments of batch normalization among them, that differ from their start."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        if "float" in weight.dtype:
            weight.assign(weight + random.uniform(0.1, 0.5, weight.shape))
    return model


def square(*, filters=3, size=4, stride=2, **options):
    return layers.Conv2DTranspose(filters, size, stride, "same", **options)


NETWORKS = {
    "dense": lambda: sequential(layers.Dense(5, "silu"), layers.Dense(3, "sigmoid")),
    "without bias": lambda: sequential(layers.Dense(8, "relu", use_bias=False), layers.Reshape((2, 2, 2))),
    "batch normalization": lambda: sequential(
        layers.Dense(8, use_bias=False), layers.BatchNormalization(), layers.Activation("silu"), layers.Dense(2)
    ),
    "without scale and center": lambda: sequential(
        layers.Dense(7),
        layers.BatchNormalization(scale=False),
        layers.Dense(3),
        layers.BatchNormalization(center=False),
    ),
    "transposed convolution": lambda: sequential(layers.Dense(12, "relu"), layers.Reshape((3, 2, 2)), square()),
    "sizes 5 and 2, stride 1": lambda: sequential(
        layers.Dense(12), layers.Reshape((2, 3, 2)), square(size=5, activation="relu"), square(size=2, stride=1)
    ),
    "stride above size": lambda: sequential(layers.Dense(4), layers.Reshape((2, 2, 1)), square(size=2, stride=3)),
    "normalized channels": lambda: sequential(
        layers.Dense(8), layers.Reshape((2, 2, 2)), square(use_bias=False), layers.BatchNormalization(), layers.ReLU()
    ),
    "label": lambda: labeled(layers.Dense(4, "relu"), layers.Dense(2)),
    "layer normalization": lambda: sequential(layers.Dense(5), layers.LayerNormalization(), layers.Dense(2)),
    "without its scale and center": lambda: sequential(
        layers.LayerNormalization(scale=False, epsilon=0.1), layers.LayerNormalization(center=False)
    ),
    "residual": lambda: residual(layers.Add(), layers.Multiply()),
    "rescaling": lambda: sequential(layers.Rescaling([1, 2, 3, 4, 5, 6], 7), layers.Rescaling(2, [6, 5, 4, 3, 2, 1])),
}


def inputs_of(model, count=20):
    """Random codes, and labels where the model takes them, and their images as the model makes them, (count, n)."""
    random = np.random.default_rng(0)
    z = random.normal(size=(count, model.inputs[0].shape[1])).astype(np.float32)
    given = [z, random.integers(0, 3, count)] if len(model.inputs) > 1 else [z]
    outputs = model.predict(given if len(given) > 1 else z, verbose=0)
    return [[np.ravel(one).tolist() for one in row] for row in zip(*given, strict=True)], outputs.reshape(count, -1)


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_script_computes_what_keras_computes(name, tmp_path):
    model = trained(NETWORKS[name]())
    rows, expected = inputs_of(model)
    data = json.dumps({"network": explorers.network(model)})
    program = f"{SCRIPT.read_text(encoding='utf-8')}\nexplorers.add('plane', {data});\n"
    program += f"const rows = {json.dumps(rows)}, together = rows[0].map((_, k) => rows.flatMap((row) => row[k]));\n"
    program += "const single = rows.map((row) => [...explorers.run('plane', row)]);\n"
    program += f"console.log(JSON.stringify([single, [...explorers.run('plane', together, {len(rows)})]]));"
    (tmp_path / "program.js").write_text(program, encoding="utf-8")
    run = subprocess.run([NODE, tmp_path / "program.js"], capture_output=True, text=True, check=True)
    single, together = json.loads(run.stdout)
    assert np.array(single) == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert np.reshape(together, expected.shape) == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_a_layer_with_folded_batch_normalization_computes_the_same():
    model = trained(sequential(layers.Dense(5), layers.BatchNormalization()))
    x = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    written = explorers.network(model)
    _, dense = written["nodes"]
    kernel = np.frombuffer(base64.b64decode(written["kernels"]), "<f2").astype(np.float32)
    units = np.frombuffer(base64.b64decode(written["units"]), "<f4")
    scale, bias = (units[slice(*dense[name])] for name in ("scale", "bias"))
    assert dense["kernel"] == [0, 30] and len(kernel) == 30 and len(units) == 10
    folded = scale * (x @ kernel.reshape(5, 6).T) + bias
    assert folded == pytest.approx(model.predict(x, verbose=0), rel=2e-3, abs=2e-3)


def branched():
    x = keras.Input((6,))
    first = layers.Dense(4)(x)
    return keras.Model(x, layers.Concatenate()([layers.BatchNormalization()(first), first]))


def with_the_output_before_the_end():
    x = keras.Input((6,))
    first = layers.Dense(4)(x)
    return keras.Model(x, [first, layers.Dense(4)(first)])


UNKNOWN = {
    "a Dropout: they know Dense, Conv2DTranspose": lambda: sequential(layers.Dropout(0.5)),
    "whose activation is gelu: they know linear, relu": lambda: sequential(layers.Dense(2, "gelu")),
    "whose padding is valid, not same": lambda: sequential(
        layers.Dense(4), layers.Reshape((2, 2, 1)), layers.Conv2DTranspose(1, 2)
    ),
    "is not square": lambda: sequential(
        layers.Dense(4), layers.Reshape((2, 2, 1)), layers.Conv2DTranspose(1, 2, (1, 2), "same")
    ),
    "it can only be folded into": lambda: sequential(layers.Dense(4, "relu"), layers.BatchNormalization()),
    "does not normalize the units": lambda: sequential(
        layers.Dense(4), layers.Reshape((2, 2)), layers.BatchNormalization()
    ),
    "whose output another layer reads": branched,
    "does not normalize the units of inputs": lambda: sequential(
        layers.Reshape((3, 2)), layers.LayerNormalization(), layers.Flatten()
    ),
    "two of one shape": lambda: labeled(layers.Dense(2), lambda h: layers.Add()([h, h, h])),
    "not the plain max": lambda: sequential(layers.ReLU(max_value=6)),
    r"inputs have shape \(None, 3, 2\)": lambda: sequential(layers.Reshape((3, 2)), layers.Dense(2)),
    "one output, which the last layer computes": with_the_output_before_the_end,
}


@pytest.mark.parametrize("why", UNKNOWN)
def test_a_layer_that_the_script_does_not_know_is_an_error(why):
    with pytest.raises(ValueError, match=why):
        explorers.network(UNKNOWN[why]())


def test_a_label_that_is_not_one_hot_is_an_error():
    z, label = keras.Input((6,)), keras.Input((2,), dtype="int32")
    several = layers.CategoryEncoding(3, "multi_hot")(label)
    with pytest.raises(ValueError, match="whose output_mode is multi_hot"):
        explorers.network(keras.Model([z, label], layers.Concatenate()([z, several])))
    with pytest.raises(ValueError, match=r"returns shape \(None, 2, 6\)"):
        explorers.network(keras.Model(z, layers.Concatenate(1)([layers.Reshape((1, 6))(z)] * 2)))


def test_weights_that_half_precision_cannot_hold_are_an_error():
    model = sequential(layers.Dense(2))
    model.set_weights([np.full((6, 2), 1e6), np.zeros(2)])
    with pytest.raises(ValueError, match="dense is not finite in half precision"):
        explorers.network(model)


def two_heads():
    """Networks as chapter 07 wires them by hand, on smaller images."""
    image, z = keras.Input((8, 8, 3)), keras.Input((2,))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(4, 4, 2, "same", use_bias=False)(image)))
    x = layers.Flatten()(x)
    heads = [layers.Dense(2, name=name)(x) for name in ("z_mean", "z_log_var")]
    y = layers.Reshape((4, 4, 3))(layers.Dense(48, "relu")(z))
    decoder = keras.Model(z, square(activation="sigmoid")(y))
    return VAE(keras.Model(image, layers.Concatenate()(heads)), decoder, likelihood="gaussian")


MODELS = {
    "VAE of two heads": two_heads,
    "VAE": lambda: VAE(dense_encoder(4, (8,)), dense_decoder(2, (8,)), likelihood="gaussian", pixel_std=0.2),
    "conditional GAN": lambda: ConditionalGAN(conditional_generator(4), conditional_discriminator(), 4, 10),
    "flow": lambda: FlowMatching(velocity_network(3, 10, 8, 2), 10),
    "autoencoder": lambda: Autoencoder(dense_encoder(2, (8,)), dense_decoder(2, (8,))),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_built_from_its_description(name):
    described = json.loads(json.dumps(describe(MODELS[name]())))
    assert json.loads(json.dumps(describe(explorers.built(described)))) == described


@pytest.mark.parametrize("described", [{"class": "Mine"}, {"class": "VAE", "code": {"VAE": "0" * 64}}])
def test_a_class_that_cannot_be_built_is_an_error(described, tmp_path, monkeypatch):
    monkeypatch.setattr(explorers, "DATA", tmp_path)
    (tmp_path / "pretrained").mkdir()
    record = json.dumps({"recipe": {"network": described}})
    (tmp_path / "pretrained" / "06_own.json").write_text(record, encoding="utf-8")
    with pytest.raises(ValueError, match=f"06_own: the record does not say how to build a {described['class']}"):
        explorers.pretrained("06_own")


def test_directions_hold_the_other_factors_fixed():
    random = np.random.default_rng(0)
    hair = random.uniform(size=200)
    factors = {"hair": hair, "glasses": (hair + random.normal(0, 0.2, 200) > 0.5).astype(float)}
    codes = np.outer(factors["hair"], [1, 0, 2]) + np.outer(factors["glasses"], [0, 3, 1]) + 7
    found = explorers.directions(codes, factors)
    assert found["hair"] == pytest.approx([1, 0, 2]) and found["glasses"] == pytest.approx([0, 3, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of all explorers, with the script and a page that shows them."""
    folder = tmp_path_factory.mktemp("explorers")
    explorers.write(folder / "explorers")
    for name in ("explorers.js", "explorers.css"):
        shutil.copy(COURSE / "tools" / name, folder)
    shown = "".join(f'<div data-explorer="{name}" style="min-height: 9px"></div>' for name in explorers.EXPLORERS)
    head = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="explorers.css">'
    page = f'{head}<script src="explorers.js" defer></script>{shown}'
    (folder / "page.html").write_text(page, encoding="utf-8")
    return folder


def test_the_moments_of_the_codes_are_those_of_the_training_images(folder, tmp_path, monkeypatch):
    data = load_mnist()
    if data.source != "MNIST":
        pytest.skip("needs MNIST")
    committed = json.loads(explorers.CODES.read_text(encoding="utf-8"))
    codes = explorers.pretrained(explorers.OF_CODES).encode(data.train[0])
    assert codes.mean(axis=0) == pytest.approx(committed["mean"], abs=1e-4)
    assert codes.std(axis=0) == pytest.approx(committed["std"], abs=1e-4)
    monkeypatch.setattr(explorers, "CODES", tmp_path / "codes.json")
    small = data.train[0][:1_000]
    monkeypatch.setattr(explorers, "load_mnist", lambda: SimpleNamespace(source="MNIST", train=(small, None)))
    explorers.measure_codes()
    written = json.loads((tmp_path / "codes.json").read_bytes())
    assert written["mean"] == pytest.approx(codes[:1_000].mean(axis=0), abs=1e-4)
    monkeypatch.setattr(explorers, "load_mnist", lambda: SimpleNamespace(source="drawn digits"))
    with pytest.raises(SystemExit, match="but the data are drawn digits"):
        explorers.measure_codes()


def test_each_file_is_a_script_of_at_most_four_megabytes(folder, monkeypatch):
    for name in explorers.FILES:
        script = (folder / "explorers" / f"{name}.js").read_bytes()
        assert script.startswith(f'explorers.add("{name}", '.encode()) and len(script) <= 4_000_000
    monkeypatch.setattr(explorers, "LIMIT", 1_000_000)
    with pytest.raises(ValueError, match=r"plane.js has [\d,]+ bytes, more than 1,000,000"):
        explorers.write(folder / "smaller")


def test_the_script_is_short_and_loads_nothing_from_elsewhere():
    script = SCRIPT.read_text(encoding="utf-8")
    assert len(script.splitlines()) <= 350
    assert "http" not in script and "import" not in script


@pytest.mark.parametrize("name", explorers.EXPLORERS)
def test_an_explorer_takes_the_place_of_the_picture_in_its_chapter(name):
    path = next(path for path in chapters() if path.stem == explorers.EXPLORERS[name].chapter)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    page = explorers.playable(notebook, name)
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("data") == {"text/html": page}]
    assert f'data-explorer="{name}"><img alt="Still' in page and "data:image/png;base64,iVBOR" in page
    with pytest.raises(
        ValueError, match=f"has 0 pictures of cells that call, or are tagged, {explorers.EXPLORERS[name].call}"
    ):
        explorers.playable(notebook, name)


# in a browser


@pytest.fixture(scope="module")
def window(folder):
    """A window of the browser, as wide as a phone."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="make site-test installs it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
        problems = []
        window.on("pageerror", lambda error: problems.append(str(error)))
        window.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
        yield window
        assert not problems
        browser.close()


@pytest.fixture
def page(window, folder):
    """The page with all explorers, as it opens from its folder without a server, whatever another test did there."""
    window.goto((folder / "page.html").as_uri())
    for name in explorers.EXPLORERS:
        window.locator(f"[data-explorer={name}]").scroll_into_view_if_needed()
        window.locator(f"[data-explorer={name}] output").wait_for()
    return window


def shown(page, name):
    """What the pictures and the live text of an explorer show."""
    root = page.locator(f"[data-explorer={name}]")
    page.wait_for_timeout(100)  # a few frames
    pictures = root.evaluate("root => [...root.querySelectorAll('.explorer-picture')].map(one => one.toDataURL())")
    return pictures, root.locator("output").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("name", [name for name in explorers.EXPLORERS if name != "flow"])
def test_an_explorer_computes_what_keras_computes(name, page):
    model = explorers.pretrained(explorers.EXPLORERS[name].model)
    random = np.random.default_rng(0)
    z = random.normal(size=(20, model.latent_dim)).astype(np.float32)
    labels = random.integers(0, 10, 20)
    expected = model.generate(z, labels) if name == "classes" else model.decode(z)
    told = [[[int(label)]] if name == "classes" else [] for label in labels]
    rows = [[code.tolist(), *label] for code, label in zip(z, told, strict=True)]
    found = page.evaluate("([name, rows]) => rows.map(row => [...explorers.run(name, row)])", [name, rows])
    assert np.abs(np.array(found) - expected.reshape(20, -1)).max() <= 2e-3


@pytest.mark.browser
@pytest.mark.parametrize("guidance", [0.0, 0.25, 4.0])
def test_the_whole_way_from_noise_to_digit_is_that_of_keras(guidance, page):
    model = explorers.pretrained(explorers.EXPLORERS["flow"].model)
    random = np.random.default_rng(0)
    z, labels = random.normal(size=(20, 30)).astype(np.float32), random.integers(0, 10, 20)
    rows = [[code.tolist(), int(label), guidance] for code, label in zip(z, labels, strict=True)]
    way = "explorers.path(...row).map(code => [...explorers.run('flow_decoder', [code])])"
    found = np.array(page.evaluate(f"rows => rows.map(row => {way})", rows))  # (20, steps + 1, pixels)
    codes = model.transport(z, labels, guidance, steps=found.shape[1] - 1)
    for step, expected in [(0, z), (-1, codes)]:
        images = explorers.decoder_of_codes().predict(expected, verbose=0)
        assert np.abs(found[:, step] - images.reshape(20, -1)).max() <= 2e-3


@pytest.mark.browser
def test_the_flow_plays_to_its_last_step_and_stays_there(page):
    root = page.locator("[data-explorer=flow]")
    step = root.get_by_role("slider", name="Step")
    step.press("End")
    last = shown(page, "flow")
    root.get_by_role("button", name="Play").click()
    assert "step 0 of 5" in shown(page, "flow")[1]
    page.wait_for_timeout(1_000)
    assert "step 0 of 5" not in shown(page, "flow")[1]
    page.wait_for_timeout(2_500)
    assert shown(page, "flow") == last and "step 5 of 5" in last[1]
    root.get_by_role("button", name="Play").click()
    page.wait_for_timeout(600)
    step.press("Home")  # stops it
    page.wait_for_timeout(600)
    assert "step 0 of 5" in shown(page, "flow")[1]


@pytest.mark.browser
@pytest.mark.parametrize("name", explorers.EXPLORERS)
def test_each_control_changes_the_picture_and_the_text(name, page):
    root = page.locator(f"[data-explorer={name}]")
    before = shown(page, name)
    controls = root.locator("input[type=range], button").all()
    assert len(controls) >= 2
    for control in controls:
        control.focus()
        if control.get_attribute("type") == "range":
            control.press("Home" if control.input_value() == control.get_attribute("max") else "End")
            assert control.get_attribute("aria-valuetext")
        else:
            control.press("Enter")
        after = shown(page, name)
        assert after[0] != before[0] and after[1] != before[1], f"nothing changes: {after[1]}"
        before = after


@pytest.mark.browser
def test_the_point_of_the_plane_follows_mouse_touch_and_keys(page):
    plane = page.locator(".explorer-map")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    states = [shown(page, "plane")]
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.up()
    states.append(shown(page, "plane"))
    assert states[-1][1].startswith("z₁ 1.50, z₂ 1.50: 2.1 standard deviations from")
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    states.append(shown(page, "plane"))
    assert states[-1][1].startswith("z₁ −1.50, z₂ 0.00: 1.5 standard deviations from")
    plane.focus()
    for _ in range(5):
        plane.press("ArrowDown")
    states.append(shown(page, "plane"))
    assert states[-1][1].startswith("z₁ −1.50, z₂ −0.50")
    assert len({str(pictures) for pictures, _ in states}) == 4
    bottom = "getContext('2d').getImageData(0, tiles.height - 28, tiles.width, 28).data"
    tiles = plane.locator("canvas").evaluate(f"tiles => tiles.{bottom}.some(x => x > 99 && x < 255)")
    assert tiles, "the last row of the map is empty"


@pytest.mark.browser
def test_the_chosen_digit_is_the_large_one(page):
    root = page.locator("[data-explorer=classes]")
    for digit in (7, 0):
        root.get_by_role("radio", name=str(digit)).check(force=True)
        (large, *row), text = shown(page, "classes")
        assert text.startswith(f"Digit {digit}, style") and large == row[digit]
    assert len(set(row)) == 10
    root.get_by_role("radio", name="0").press("ArrowRight")
    assert shown(page, "classes")[1].startswith("Digit 1, style")


@pytest.mark.browser
def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, button, canvas.explorer-picture, [tabindex]')].filter(one =>"
        " !one.getAttribute('aria-label') && !one.innerText && !one.labels?.[0]?.innerText).length"
    )
    assert unnamed == 0
    assert page.locator("output[aria-live=polite]").count() == len(explorers.EXPLORERS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_a_file_that_is_missing_is_said(folder, page, tmp_path):
    for name in ("explorers.js", "page.html"):
        shutil.copy(folder / name, tmp_path)
    other = page.context.browser.new_page()
    other.goto((tmp_path / "page.html").as_uri())
    other.get_by_text("could not be loaded: reload the page").first.wait_for()
    other.close()
