import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils import runtime, training
from utils.autoencoders import Autoencoder, dense_decoder, dense_encoder
from utils.data import NoisyPairs
from utils.gan import GAN, dense_discriminator, dense_generator
from utils.training import fit_or_load


def compiled(units=8, learning_rate=1e-3, seed=0, activation="relu"):
    keras.utils.set_random_seed(seed)
    parts = dense_encoder(3, (units,), activation=activation), dense_decoder(3, (units,))
    model = Autoencoder(*parts)
    model.compile(keras.optimizers.Adam(learning_rate))
    return model


def train(model, images, name="tiny", epochs=2, batch_size=32):
    return fit_or_load(model, images, name=name, epochs=epochs, batch_size=batch_size)


@pytest.fixture
def retraining():
    """A session in retrain mode, on what counts as real data."""
    runtime.session.mode, runtime.session.dataset, runtime.session.dataset_checksum = "retrain", "MNIST", "abc"


@pytest.fixture
def pretrained(images, retraining):
    """A model that a retrain run has written."""
    model = compiled()
    train(model, images)
    runtime.session.mode = "standard"
    return model


def test_retrain_writes_and_standard_loads_the_same(pretrained, images, capsys):
    model = compiled(seed=1)
    result = train(model, images)
    assert result.loaded and len(result.history["loss"]) == 2
    assert (model.reconstruct(images) == pretrained.reconstruct(images)).all()
    assert "tiny: loaded, trained for 2 epochs" in capsys.readouterr().out
    record = json.loads((training.PRETRAINED / "tiny.json").read_bytes())
    assert record["seed"] == 0 and record["data"] == {"source": "MNIST", "sha256": "abc"}
    assert set(record["versions"]) == {"python", "tensorflow", "keras"}
    assert sorted(path.name for path in training.PRETRAINED.iterdir()) == ["tiny.json", "tiny.npz"]


def test_the_file_has_the_weights_in_half_precision_and_nothing_else(pretrained):
    with np.load(training.PRETRAINED / "tiny.npz") as file:
        arrays = [file[key] for key in file.files]
    assert [array.shape for array in arrays] == [weight.shape for weight in pretrained.weights]
    assert all(array.dtype == np.float16 for array in arrays)


def game(images, discriminator_rate=1e-3, loss="non_saturating", pictures=True):
    """A GAN of digits trained for two epochs, or loaded, with a snapshot after each."""
    keras.utils.set_random_seed(0)
    model = GAN(dense_generator(3, (8,)), dense_discriminator(hidden=(8,)), 3, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(discriminator_rate), loss=loss)
    snapshot = (lambda: model.sample(4)) if pictures else None
    return model, fit_or_load(model, images, name="game", epochs=2, batch_size=32, snapshot=snapshot)


def test_a_gan_is_loaded_with_its_snapshots(images, retraining, capsys):
    trained, first = game(images)
    assert first.snapshots.shape == (2, 4, 28, 28, 1) and first.snapshots.dtype == np.uint8
    assert np.abs(first.snapshots[-1] - 255 * trained.sample(4)).max() < 1  # half precision rounds the weights
    runtime.session.mode = "standard"
    loaded, second = game(images)
    assert second.loaded and (second.snapshots == first.snapshots).all()
    assert all(map(np.array_equal, loaded.get_weights(), trained.get_weights()))
    for change, words in (({"discriminator_rate": 2e-3}, "discriminator_optimizer"), ({"loss": "hinge"}, "loss")):
        assert not game(images, **change)[1].loaded
        assert words in capsys.readouterr().out


def test_weights_without_snapshots_will_not_do_where_they_are_asked_for(images, retraining, capsys):
    trained, _ = game(images, pictures=False)
    runtime.session.mode = "standard"
    again, training_ = game(images)
    assert not training_.loaded and "no snapshots" in capsys.readouterr().out
    for a, b in zip(trained.get_weights(), again.get_weights(), strict=True):
        assert b == pytest.approx(a, abs=2e-3)  # it began anew, and not from the weights in the file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"units": 9}, "another recipe (network)"),
        ({"activation": "tanh"}, "another recipe (network)"),
        ({"learning_rate": 2e-3}, "'learning_rate': 0.002} here"),
    ],
)
def test_another_model_is_trained_and_the_file_stays(change, words, pretrained, images, capsys):
    before = (training.PRETRAINED / "tiny.npz").read_bytes()
    assert not train(compiled(**change), images).loaded
    printed = capsys.readouterr().out
    assert words in printed and "Training it now" in printed
    assert (training.PRETRAINED / "tiny.npz").read_bytes() == before


def test_other_epochs_are_named(pretrained, images, capsys):
    assert not train(compiled(), images, epochs=3).loaded
    assert "epochs 2 there, 3 here" in capsys.readouterr().out


def test_the_fingerprint_does_not_depend_on_what_was_built_before(pretrained, images):
    for _ in range(3):
        keras.layers.Dense(2)(keras.Input((2,)))
    assert train(compiled(), images).loaded


def test_weights_serve_in_half_precision_too(pretrained, images):
    keras.config.set_dtype_policy("mixed_float16")  # as setup does on a GPU; it also wraps the optimizer
    try:
        model = compiled()
        assert train(model, images).loaded
        assert model.reconstruct(images) == pytest.approx(pretrained.reconstruct(images), abs=0.01)
    finally:
        keras.config.set_dtype_policy("float32")


TEXTS = {"empty record": "{}", "list": "[]", "strings": '{"recipe": "x", "seconds": "y", "history": "z"}'}


@pytest.mark.parametrize("damage", ["no weights", "other weights", "no record", "half a record", *TEXTS])
def test_damaged_files_are_named_and_the_model_is_trained(damage, pretrained, images, capsys):
    record, weights = training.PRETRAINED / "tiny.json", training.PRETRAINED / "tiny.npz"
    if damage == "no weights":
        weights.unlink()
    elif damage == "other weights":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "no record":
        record.unlink()
    else:
        text = record.read_text()
        record.write_text(TEXTS.get(damage, text[: len(text) // 2]))
    assert not train(compiled(), images).loaded
    printed = capsys.readouterr().out
    assert printed.startswith("tiny: ") and "Training it now" in printed


def test_quick_mode_neither_reads_nor_writes(pretrained, images):
    runtime.session.mode = "quick"
    assert not train(compiled(), images).loaded
    result = train(compiled(), images, name="other", epochs=5)
    assert len(result.history["loss"]) == 1
    assert not (training.PRETRAINED / "other.json").exists()


def test_retraining_on_the_stand_in_keeps_the_files(pretrained, images, capsys):
    before = (training.PRETRAINED / "tiny.json").read_bytes()
    runtime.session.mode, runtime.session.dataset = "retrain", "stand-in digits"
    train(compiled(), images)
    assert "the pretrained file stays as it is" in capsys.readouterr().out
    assert (training.PRETRAINED / "tiny.json").read_bytes() == before


def test_weights_of_mnist_serve_on_the_stand_in_and_say_so(pretrained, images, capsys):
    runtime.session.dataset, runtime.session.dataset_checksum = "stand-in digits", "def"
    assert train(compiled(), images).loaded
    assert "it was trained on MNIST; here the data are stand-in digits" in capsys.readouterr().out


def test_weights_that_half_precision_cannot_hold_are_not_written(images):
    runtime.session.mode = "retrain"
    model = compiled(learning_rate=0.0)
    weights = model.get_weights()
    weights[0][:] = 1e6
    model.set_weights(weights)
    with pytest.raises(ValueError, match="not finite in half precision"):
        train(model, images)
    assert not training.PRETRAINED.exists()


def test_a_light_model_trains_in_standard_mode_and_leaves_no_file(images):
    result = train(compiled(), images, name=None)
    assert not result.loaded and len(result.history["loss"]) == 2
    assert not training.PRETRAINED.exists()


def test_a_training_is_not_lost_where_its_file_cannot_be_written(images, capsys):
    runtime.session.mode = "retrain"
    training.PRETRAINED.write_text("a file where the folder should be")  # root ignores permission bits
    assert len(train(compiled(), images).history["loss"]) == 2
    assert "could not be written" in capsys.readouterr().out


def test_another_seed_is_named(pretrained, images, capsys):
    runtime.session.seed = 1
    assert train(compiled(), images).loaded
    assert "trained with seed 0, not 1" in capsys.readouterr().out


def test_what_follows_does_not_depend_on_loading_or_training(pretrained, images):
    draws = []
    for name in ("tiny", None):
        train(compiled(), images, name=name)
        weight = float(keras.initializers.RandomNormal()((1,))[0])
        draws.append((np.random.rand(), weight))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_cosine_climbs_and_falls():
    rate = training.cosine(1e-2, 1_000, warmup=100)
    assert float(rate(0)) == pytest.approx(1e-3)
    assert float(rate(100)) == pytest.approx(1e-2)
    assert float(rate(550)) < 1e-2 and float(rate(1_000)) == pytest.approx(2e-4)


class Measured(Exception):
    """Raised instead of measuring."""


def no_measurement():
    raise Measured


@pytest.fixture
def studied(retraining):
    """A study that a retrain run has written."""
    training.study("tiny", lambda: {"error": [1.5, 2.5]}, {"steps": 3, "rates": (1, 2)})
    runtime.session.mode = "standard"


def test_a_study_is_read_where_its_settings_are_the_same(studied, capsys):
    assert training.study("tiny", no_measurement, {"steps": 3, "rates": (1, 2)}) == {"error": [1.5, 2.5]}
    assert "tiny: loaded, measured in 0 s." in capsys.readouterr().out


def test_a_study_with_other_settings_is_measured_and_says_why(studied, capsys):
    assert training.study("tiny", lambda: {"error": [0]}, {"steps": 4, "rates": (1, 2)}) == {"error": [0]}
    assert "steps 3 there, 4 here" in capsys.readouterr().out
    assert training.study("tiny", no_measurement, {"steps": 3, "rates": (1, 2)}) == {"error": [1.5, 2.5]}


def test_a_damaged_study_is_measured_anew(studied, capsys):
    (training.STUDIES / "tiny.json").write_text("{")
    assert training.study("tiny", lambda: {}, {"steps": 3}) == {}
    assert "its record is damaged" in capsys.readouterr().out


def test_quick_mode_neither_reads_nor_writes_a_study(studied):
    runtime.session.mode = "quick"
    with pytest.raises(Measured):
        training.study("tiny", no_measurement, {"steps": 3, "rates": (1, 2)})
    training.study("other", lambda: {}, {})
    assert not (training.STUDIES / "other.json").exists()


def test_what_follows_a_study_does_not_depend_on_whether_it_was_read(studied):
    training.study("tiny", no_measurement, {"steps": 3, "rates": (1, 2)})
    read = float(tf.random.normal(()))
    training.study("tiny", lambda: {"x": float(tf.random.normal(()))}, {"steps": 5})
    assert float(tf.random.normal(())) == read


def test_an_epoch_has_a_step_for_its_last_partial_batch_too():
    assert training.steps_of(3, 128, 64) == 6
    assert training.steps_of(3, 129, 64) == 9


@pytest.mark.filterwarnings("error")
def test_a_dataset_of_batches_trains_without_a_warning(images):
    model = compiled()
    fit_or_load(model, tf.data.Dataset.from_tensor_slices(images).batch(16), epochs=1)


def test_a_training_is_not_lost_where_no_checkpoint_can_be_written(images, capsys):
    training.CHECKPOINTS.write_text("a file where the folder should be")
    assert len(train(compiled(), images).history["loss"]) == 2
    assert "No checkpoint can be written" in capsys.readouterr().out


def test_the_checkpoint_stays_where_the_pretrained_file_could_not_be_written(images, retraining):
    training.PRETRAINED.write_text("a file where the folder should be")
    train(compiled(), images)
    assert (training.CHECKPOINTS / "tiny" / "checkpoint").is_file()


def test_a_data_set_of_pairs_stays_at_its_epoch(images):
    pairs = NoisyPairs(images, lambda clean, seed: clean, 32, seed=0)
    fit_or_load(compiled(), pairs, epochs=3)
    assert pairs.epoch == 0
