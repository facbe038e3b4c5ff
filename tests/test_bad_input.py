"""What users get wrong, and the words that tell them what to do instead.

Damaged files are further down, by fuzzing. Data, faces, CelebA, figures of merit and checkpoints have their own tests.
"""

import hashlib
import io
import json
import os
import pickle
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from utils.autoencoders import Autoencoder
from utils.course import checkpoints, pretrained, results, session
from utils.course.replicas import fit_replicated
from utils.course.training import fit_or_load, load_pretrained
from utils.data import flat
from utils.flow import FlowMatching
from utils.gan import GAN, ConditionalGAN
from utils.networks import dense_decoder, dense_discriminator, dense_encoder, dense_generator, velocity_network
from utils.vae import VAE, importance_weighted_log_likelihood

IMAGES, LABELS = zoo.digits(32)
PARTS = dense_generator(2, (4,)), dense_discriminator(hidden=(4,))
CODES = dense_encoder(6, (4,)), dense_decoder(3, (4,))


def trained(name, *args, **options):
    return zoo.build(name).fit(*args, **options, verbose=0)


def on_one_device(name, x, batch_size):
    return fit_replicated(zoo.build(name), x, tf.distribute.OneDeviceStrategy("CPU:0"), epochs=1, batch_size=batch_size)


def optimizers(count):
    return [zoo.adam() for _ in range(count)]


TABLE = {
    # the session
    "unknown mode": (lambda: session.setup(mode="fast"), "mode is 'fast': choose one of standard, retrain, quick"),
    # autoencoders
    "codes that do not fit": (
        lambda: Autoencoder(dense_encoder(3), dense_decoder(4)),
        r"\(None, 3\).*\(None, 4\): make them equal",
    ),
    "unknown reconstruction": (
        lambda: Autoencoder(dense_encoder(3), dense_decoder(3), "mse"),
        "reconstruction_loss is 'mse': choose 'squared_error' or",
    ),
    "unknown output": (
        lambda: Autoencoder(dense_encoder(3), dense_decoder(3), output="tanh"),
        "output is 'tanh': choose",
    ),
    "cross-entropy of numbers": (
        lambda: Autoencoder(dense_encoder(3), dense_decoder(3), "cross_entropy", "linear"),
        "Cross-entropy compares probabilities: it needs output='sigmoid'",
    ),
    "weighted images": (
        lambda: trained("autoencoder", IMAGES, IMAGES, sample_weight=np.ones(32)),
        "Every image counts the same for this model: call fit without sample_weight",
    ),
    # variational autoencoders
    "encoder without variances": (
        lambda: VAE(dense_encoder(3, (4,)), dense_decoder(3, (4,))),
        "a mean and a log-variance for each of 3 latents",
    ),
    "decoder of other images": (
        lambda: VAE(CODES[0], dense_decoder(3, (4,), output_shape=(14, 14, 1))),
        "make them equal",
    ),
    "negative beta": (lambda: VAE(*CODES, beta=-1), "beta is -1: it weights the KL divergence, so it is 0 or more"),
    "unknown likelihood": (lambda: VAE(*CODES, likelihood="normal"), "choose 'bernoulli' or 'gaussian'"),
    "no pixel deviation": (lambda: VAE(*CODES, pixel_std=0), "pixel_std is 0: a standard deviation is above 0"),
    "negative warm-up": (lambda: VAE(*CODES, warm_up_steps=-1), "warm_up_steps is -1: choose 0"),
    "a VAE with targets": (lambda: trained("vae", IMAGES, IMAGES), r"fit\(x\), without targets and without weights"),
    "weighted images of a VAE": (
        lambda: trained("vae", IMAGES, sample_weight=np.ones(32)),
        "Every image counts the same for this model",
    ),
    "no importance samples": (
        lambda: importance_weighted_log_likelihood(zoo.build("vae"), IMAGES, 0),
        "samples is 0: the estimate needs at least one",
    ),
    "a likelihood of one image": (
        lambda: importance_weighted_log_likelihood(zoo.build("vae"), IMAGES[0], 5),
        r"images have shape \(28, 28, 1\), but \(n, 28, 28, 1\) is needed",
    ),
    # adversarial networks
    "z of another size": (lambda: GAN(*PARTS, 3), r"takes z of shape \(None, 2\), so latent_dim cannot be 3"),
    "images of two sizes": (
        lambda: GAN(dense_generator(2, (4,), (14, 14, 1)), PARTS[1], 2),
        r"returns shape \(None, 14, 14, 1\), the discriminator takes .*: make them equal",
    ),
    "more than one logit": (
        lambda: GAN(dense_generator(2, (4,), (2,)), dense_generator(2, (4,), (3,)), 2),
        "it has to end in one logit",
    ),
    "an average that stands still": (lambda: GAN(*PARTS, 2, averaging=1), "averaging is 1: choose 0 .* or more"),
    "negative penalty": (lambda: GAN(*PARTS, 2, gradient_penalty=-1), "gradient_penalty is -1: .* so it is 0 or more"),
    "unknown loss": (
        lambda: GAN(*PARTS, 2).compile(*optimizers(2), loss="wasserstein"),
        "choose one of minimax, non_saturating, hinge",
    ),
    "one optimizer for two": (lambda: GAN(*PARTS, 2).compile(*optimizers(1) * 2), "give the discriminator one"),
    "labels for a plain GAN": (lambda: trained("gan", IMAGES, LABELS), r"A GAN takes images only: fit\(x\)"),
    "no labels for a cGAN": (lambda: trained("cgan", IMAGES), r"needs images and labels: fit\(x, y\)"),
    "weighted images of a GAN": (
        lambda: trained("gan", IMAGES, sample_weight=np.ones(32)),
        "Every image counts the same for this model: call fit without sample_weight",
    ),
    "labels out of range": (lambda: trained("cgan", IMAGES, LABELS + 10), r"from 1\d to 19, but classes are 0 to 9"),
    "labels not whole": (lambda: trained("cgan", IMAGES, LABELS / 2), "give one integer for each image"),
    "fewer labels than latent vectors": (
        lambda: zoo.build("cgan").generate(np.zeros((3, 3)), [1, 2]),
        "2 labels for 3 images or latent vectors",
    ),
    "digits that are none": (lambda: zoo.build("cgan").sample([-1, 0]), "Labels run from -1 to 0"),
    "a count for labels": (lambda: zoo.build("cgan").sample(10), "give one integer for each image"),
    "a cGAN of plain parts": (lambda: ConditionalGAN(*PARTS, 2, 10), "has 1 inputs, but here it takes z and labels"),
    # flows
    "a network without labels": (
        lambda: FlowMatching(velocity_network(2), num_classes=3),
        "but here it needs .*: z, t and labels",
    ),
    "all labels dropped": (
        lambda: FlowMatching(velocity_network(2, 3), 3, label_dropout=1),
        "label_dropout is 1: choose",
    ),
    "no labels for a flow": (lambda: trained("flow", flat(IMAGES)), r"with num_classes needs labels, fit\(x, y\)"),
    "images for a flow of vectors": (
        lambda: trained("flow", IMAGES, LABELS),
        r"data have shape .* \(n, 784\) is needed",
    ),
    "a loss for a flow": (lambda: zoo.build("flow").compile("adam", "mse"), "squared error of its velocity"),
    "guidance to no label": (lambda: zoo.build("flow").sample(3, guidance=1), "Guidance strengthens a label: give"),
    "no step": (lambda: zoo.build("flow").sample(3, steps=0), "steps is 0: at least one step"),
    "an unknown method": (lambda: zoo.build("flow").sample(3, method="rk4"), "choose 'euler' or 'heun'"),
    "fewer labels than noise": (lambda: zoo.build("flow").sample(3, [1, 2]), "2 labels for 3 images or latent"),
    "a label that is none": (lambda: zoo.build("flow").sample(1, [10]), "Labels run from 10 to 10"),
    # training
    "pairs of unequal number": (
        lambda: fit_or_load(zoo.build("cgan"), IMAGES, LABELS[:30], epochs=1, name="x"),
        "x has 32 examples and y has 30: give as many of both",
    ),
    "bytes into a named training": (
        lambda: fit_or_load(zoo.build("vae"), 255 * IMAGES, epochs=1, name="x"),
        "divide by 255",
    ),
    "labels of a named training": (
        lambda: fit_or_load(zoo.build("cgan"), IMAGES, LABELS + 10, epochs=1, name="x"),
        "classes are 0 to 9",
    ),
    "a selection of no images": (
        lambda: fit_or_load(zoo.build("vae"), IMAGES[LABELS == 99], epochs=1, name="x"),
        "the selection is empty",
    ),
    "a batch larger than the data": (
        lambda: on_one_device("vae", IMAGES, 64),
        "batch_size is 64: choose a multiple of 1 that is at most 32",
    ),
    "pairs for replicas": (lambda: on_one_device("cgan", IMAGES, 32), "an array of images, not on pairs"),
    "bytes for replicas": (lambda: on_one_device("vae", 255 * IMAGES, 32), "divide by 255"),
    # figures
    "a figure that is none": (
        lambda: results.table("01_autoencoder", {"figure": (float("nan"), "%", "higher")}, "figure"),
        "figure is nan: only a finite figure",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_answered_with_what_to_do(case, retraining):
    """And writes nothing, in a session in which good input would be written."""
    call, words = TABLE[case]
    with pytest.raises(ValueError, match=words):
        call()
    assert not (pretrained.PRETRAINED.exists() or checkpoints.CHECKPOINTS.exists() or results.RESULTS.exists())


def test_an_unknown_mode_in_the_environment(monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "slow")
    with pytest.raises(ValueError, match="mode is 'slow': choose one of standard, retrain, quick, in COURSE_MODE"):
        session.setup()


FUZZ = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def archive(arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


class Boom:
    """Pickled, it would run code when it is read."""

    def __reduce__(self):
        return os.mkdir, ("it_ran",)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The two files of a model that a retrain run has written, and their content."""
    folder = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "PRETRAINED", folder)
        patch.setattr(session.session, "mode", "retrain")
        training = fit_or_load(zoo.build("autoencoder"), IMAGES, epochs=1)
        pretrained.save(zoo.build("autoencoder"), "tiny", training)
    return {kind: (folder / f"tiny.{kind}").read_bytes() for kind in ("json", "npz")}


@pytest.fixture(scope="module")
def model():
    return zoo.build("autoencoder")


def answered(model, files: dict):
    """Write the files, and load from them: True if that went well. Else the model and the files are as before."""
    pretrained.PRETRAINED.mkdir(exist_ok=True)
    paths = {pretrained.PRETRAINED / f"tiny.{kind}": payload for kind, payload in files.items()}
    for path, payload in paths.items():
        path.write_bytes(payload)
    before = model.get_weights()
    try:
        load_pretrained(model, "tiny")
    except ValueError as error:
        assert re.match("tiny cannot be loaded: .*(?s:.*) Restore it from the repository, or train it", str(error))
        assert all(map(np.array_equal, before, model.get_weights()))
        return False
    finally:
        assert {path: path.read_bytes() for path in paths} == paths
    return True


@FUZZ
@given(payload=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(payload=b"[" * 100_000)
def test_any_bytes_as_a_record_are_answered(payload, written, model):
    assert answered(model, written)
    assert not answered(model, written | {"json": payload})


@FUZZ
@given(data=st.data())
def test_a_record_with_any_value_in_it_is_answered(data, written, model):
    record = json.loads(written["json"])
    key = data.draw(st.sampled_from(sorted(record)))
    before, record[key] = record[key], data.draw(JSON)
    loaded = answered(model, written | {"json": json.dumps(record).encode()})
    if key in ("recipe", "weights_sha256") and record[key] != before:
        assert not loaded


@FUZZ
@given(
    payload=st.binary(max_size=300)
    | st.lists(st.sampled_from([np.zeros(3), np.zeros((784, 16)), np.array("text")]), max_size=8).map(
        lambda arrays: archive({f"arr_{i}": array for i, array in enumerate(arrays)})
    )
)
@example(payload=pickle.dumps(Boom()))
@example(payload=archive({"arr_0": np.array([Boom()])}))
def test_any_bytes_as_weights_are_answered_though_their_checksum_is_right(
    payload, written, model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    record = json.loads(written["json"]) | {"weights_sha256": hashlib.sha256(payload).hexdigest()}
    assert not answered(model, {"json": json.dumps(record).encode(), "npz": payload})
    assert not (tmp_path / "it_ran").exists()


def test_a_saved_model_cannot_bring_code(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        keras.models.load_model(tmp_path / "model.keras")
