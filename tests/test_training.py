import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

from utils.autoencoders import Autoencoder
from utils.course import checkpoints, pretrained, studies, training
from utils.course.session import Session, session
from utils.course.studies import study
from utils.course.training import fit_or_load, load_pretrained
from utils.data import NoisyPairs, drop_pixels
from utils.gan import GAN
from utils.networks import dense_decoder, dense_discriminator, dense_encoder, dense_generator


def compiled(units=8, learning_rate=1e-3, seed=0, activation="relu", loss="squared_error"):
    keras.utils.set_random_seed(seed)
    model = Autoencoder(dense_encoder(3, (units,), activation=activation), dense_decoder(3, (units,)), loss)
    model.compile(keras.optimizers.Adam(learning_rate))
    return model


def train(model, x, y=None, **options):
    return fit_or_load(model, x, y, **{"name": "tiny", "epochs": 2, "batch_size": 32} | options)


class Trains(Exception):
    """Raised instead of training or measuring."""


@pytest.fixture
def no_training(monkeypatch):
    """Where files are loaded or refused, nothing has to be trained."""

    def fit(*_, **__):
        raise Trains

    monkeypatch.setattr(Autoencoder, "fit", fit)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A model that a retrain run has trained and written, and the folder of its files."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "PRETRAINED", folder)
        patch.setattr(checkpoints, "CHECKPOINTS", folder / "checkpoints")
        patch.setattr(session, "__dict__", vars(Session("retrain", 0, "MNIST", "abc")))
        model = compiled()
        train(model, zoo.digits(64)[0])
    (folder / "checkpoints").rmdir()
    return model, folder


@pytest.fixture
def written(once):
    """The same model, and its files where this test looks for them, in standard mode on the same data."""
    model, folder = once
    shutil.copytree(folder, pretrained.PRETRAINED)
    session.dataset, session.dataset_checksum = "MNIST", "abc"
    return model


def trains(*arguments, **options):
    """True if the call trains where it might have loaded."""
    try:
        return not train(*arguments, **options).loaded
    except Trains:
        return True


# what is written, and read again


def test_retrain_writes_and_standard_loads_the_same(written, images, capsys):
    model = compiled(seed=1)
    found = train(model, images)
    assert found.loaded and len(found.history["loss"]) == 2
    assert (model.reconstruct(images) == written.reconstruct(images)).all()
    assert "tiny: loaded, trained for 2 epochs" in capsys.readouterr().out
    record = json.loads((pretrained.PRETRAINED / "tiny.json").read_bytes())
    assert record["seed"] == 0 and record["data"] == {"source": "MNIST", "sha256": "abc"}
    assert set(record["versions"]) == {"python", "tensorflow", "keras"}
    assert sorted(path.name for path in pretrained.PRETRAINED.iterdir()) == ["tiny.json", "tiny.npz"]


def test_the_file_has_the_weights_in_half_precision_and_nothing_else(written):
    with np.load(pretrained.PRETRAINED / "tiny.npz") as file:
        arrays = list(file.values())
    assert [array.shape for array in arrays] == [weight.shape for weight in written.weights]
    assert all(array.dtype == np.float16 for array in arrays)


def game(images, discriminator_rate=1e-3, loss="non_saturating", pictures=True):
    """A GAN of digits trained for two epochs, or loaded, with a snapshot after each."""
    keras.utils.set_random_seed(0)
    model = GAN(dense_generator(3, (8,)), dense_discriminator(hidden=(8,)), 3, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(discriminator_rate), loss=loss)
    snapshot = (lambda: model.sample(4)) if pictures else None
    return model, fit_or_load(model, images, name="game", epochs=2, batch_size=32, snapshot=snapshot)


def test_a_gan_is_loaded_with_its_snapshots(images, retraining, monkeypatch, capsys):
    trained, first = game(images)
    assert first.snapshots.shape == (2, 4, 28, 28, 1) and first.snapshots.dtype == np.uint8
    assert np.abs(first.snapshots[-1] - 255 * trained.sample(4)).max() < 1  # half precision rounds the weights
    session.mode = "standard"
    monkeypatch.setattr(GAN, "fit", lambda *_, **__: pytest.fail("it trains") if session.mode else None)
    loaded, second = game(images)
    assert second.loaded and (second.snapshots == first.snapshots).all()
    assert all(map(np.array_equal, loaded.get_weights(), trained.get_weights()))
    for change, words in (({"discriminator_rate": 2e-3}, "discriminator_optimizer"), ({"loss": "hinge"}, "loss")):
        with pytest.raises(pytest.fail.Exception):
            game(images, **change)
        assert words in capsys.readouterr().out


def test_weights_without_snapshots_will_not_do_where_they_are_asked_for(images, retraining, capsys):
    trained, _ = game(images, pictures=False)
    session.mode = "standard"
    again, found = game(images)
    assert not found.loaded and "no snapshots" in capsys.readouterr().out
    for a, b in zip(trained.get_weights(), again.get_weights(), strict=True):
        assert b == pytest.approx(a, abs=2e-3)  # it began anew, and not from the weights in the file


# what decides a training


def upside_down(images):
    return images[::-1].copy()


CHANGES = {
    "units": (lambda x: trains(compiled(units=9), x), "network"),
    "activation": (lambda x: trains(compiled(activation="tanh"), x), "network"),
    "loss": (lambda x: trains(compiled(loss="cross_entropy"), x), "network"),
    "learning rate": (lambda x: trains(compiled(learning_rate=2e-3), x), "'learning_rate': 0.002} here"),
    "epochs": (lambda x: trains(compiled(), x, epochs=3), "epochs 2 there, 3 here"),
    "batch size": (lambda x: trains(compiled(), x, batch_size=16), "batch_size 32 there, 16 here"),
    "negatives": (lambda x: trains(compiled(), 1 - x), "examples"),
    "half of the images": (lambda x: trains(compiled(), x[:32]), "examples"),
    "another order": (lambda x: trains(compiled(), upside_down(x)), "examples"),
    "one other image": (lambda x: trains(compiled(), np.concatenate([x[:-1], x[:1]])), "examples"),
    "targets": (lambda x: trains(compiled(), x, x), "examples"),
    "noise": (lambda x: trains(compiled(), NoisyPairs(x, drop_pixels, 32, 0, rate=0.5), batch_size=None), "examples"),
    "validation": (lambda x: trains(compiled(), x, validation_data=(x, x)), "validation"),
    "its start": (lambda x: trains(compiled(), x, after=[STARTED]), "starts_from"),
}
STARTED = pretrained.Training({}, 0.0, False, {"epochs": 3})


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_is_not_loaded_and_says_why(change, written, images, no_training, capsys):
    before = (pretrained.PRETRAINED / "tiny.npz").read_bytes()
    call, words = CHANGES[change]
    assert call(images)
    printed = capsys.readouterr().out
    assert "tiny: the file was made with another recipe" in printed and words in printed
    assert "Training it now" in printed
    assert (pretrained.PRETRAINED / "tiny.npz").read_bytes() == before


def unchanged(images, seed, rate):
    return images


@pytest.mark.parametrize(
    "other", [{"rate": 0.6}, {"batch_size": 16}, {"seed": 1}, {"noise": unchanged}], ids=lambda other: next(iter(other))
)
def test_another_noise_is_another_training(other, images):
    def recipe(noise=drop_pixels, batch_size=32, seed=0, rate=0.5):
        return training.recipe_of(compiled(), NoisyPairs(images, noise, batch_size, seed, rate=rate), None, 2, None)

    assert recipe() == recipe() != recipe(**other)


def test_a_start_that_has_changed_is_another_training(images):
    recipes = [
        training.recipe_of(compiled(), images, None, 2, 32, after=[pretrained.Training({}, 0.0, True, {"x": x})])
        for x in (1, 1, 2)
    ]
    assert recipes[0] == recipes[1] != recipes[2]


def test_what_decides_nothing_changes_nothing(written, images, no_training):
    for _ in range(3):  # the names of layers count what was built before
        keras.layers.Dense(2)(keras.Input((2,)))
    quiet = keras.callbacks.LambdaCallback()
    assert train(compiled(), images.astype(np.float64), callbacks=[quiet]).loaded


def test_weights_serve_in_half_precision_too(written, images, no_training):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = compiled()
        assert train(model, images).loaded
        assert model.reconstruct(images) == pytest.approx(written.reconstruct(images), abs=0.02)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("source", ["MNIST", "stand-in digits"])
def test_weights_of_mnist_serve_on_the_stand_in_and_say_so(source, written, images, no_training, capsys):
    session.dataset, session.dataset_checksum = source, "abc" if source == "MNIST" else "def"
    assert train(compiled(), images if source == "MNIST" else 1 - images).loaded
    told = "it was made on MNIST; here the data are stand-in digits"
    assert (told in capsys.readouterr().out) == (source != "MNIST")


def test_another_seed_is_named(written, images, no_training, capsys):
    session.seed = 1
    assert train(compiled(), images).loaded
    assert "made with seed 0, not 1" in capsys.readouterr().out


# a model that fit_or_load cannot train


def test_a_model_that_has_been_trained_is_refused(images):
    model = compiled()
    train(model, images, name=None)
    with pytest.raises(ValueError, match="has been trained already: run the cell that builds it again"):
        train(model, images)


def test_a_model_that_was_loaded_may_be_loaded_again(written, images, no_training):
    model = compiled()
    assert train(model, images).loaded and train(model, images).loaded


def test_a_model_that_was_not_compiled_is_refused(images):
    model = Autoencoder(dense_encoder(3, (8,)), dense_decoder(3, (8,)))
    with pytest.raises(ValueError, match=r"has no optimizer: call compile\(\) first"):
        train(model, images)


def test_a_data_set_is_refused_because_no_record_could_tell_it_from_another(images):
    with pytest.raises(ValueError, match="Dataset has no description that tells it from another: give arrays"):
        train(compiled(), tf.data.Dataset.from_tensor_slices(images).batch(32), batch_size=None)


# files that are damaged, or cannot be written

TEXTS = {"empty record": "{}", "list": "[]", "strings": '{"recipe": "x", "seconds": "y", "history": "z"}'}


@pytest.mark.parametrize("damage", ["no weights", "other weights", "no record", "half a record", *TEXTS])
def test_damaged_files_are_named_and_the_model_is_trained(damage, written, images, no_training, capsys):
    record, weights = pretrained.PRETRAINED / "tiny.json", pretrained.PRETRAINED / "tiny.npz"
    if damage == "no weights":
        weights.unlink()
    elif damage == "other weights":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "no record":
        record.unlink()
    else:
        text = record.read_text()
        record.write_text(TEXTS.get(damage, text[: len(text) // 2]))
    assert trains(compiled(), images)
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("tiny: ") and "Training it now" in line for line in printed)
    with pytest.raises(ValueError, match=r"tiny cannot be loaded: .* Restore it from the repository, or train it anew"):
        load_pretrained(compiled(), "tiny")


def test_a_training_is_not_lost_where_its_file_cannot_be_written(images, retraining, capsys):
    pretrained.PRETRAINED.write_text("a file where the folder should be")  # root ignores permission bits
    assert len(train(compiled(), images).history["loss"]) == 2
    assert "pretrained/tiny.npz cannot be written" in capsys.readouterr().out
    assert (checkpoints.CHECKPOINTS / "tiny.npz").is_file()  # so that it need not be repeated


def test_a_training_is_not_lost_where_no_checkpoint_can_be_written(images, capsys):
    checkpoints.CHECKPOINTS.write_text("a file where the folder should be")
    assert len(train(compiled(), images).history["loss"]) == 2
    printed = capsys.readouterr().out
    assert "checkpoints/tiny.npz cannot be written (" in printed and "): training goes on without check" in printed


def test_weights_that_half_precision_cannot_hold_are_not_written(images, retraining):
    model = compiled(learning_rate=0.0)
    model.set_weights([np.full_like(weight, 1e6) for weight in model.get_weights()])
    with pytest.raises(ValueError, match="not finite in half precision"):
        train(model, images)
    assert not pretrained.PRETRAINED.exists()


# modes


def test_quick_mode_neither_reads_nor_writes(written, images):
    session.mode = "quick"
    assert trains(compiled(), images)
    found = train(compiled(), images, name="other", epochs=5)
    assert len(found.history["loss"]) == 1
    assert not (pretrained.PRETRAINED / "other.json").exists() and not checkpoints.CHECKPOINTS.exists()


def test_retraining_on_the_stand_in_keeps_the_files(written, images, capsys):
    before = (pretrained.PRETRAINED / "tiny.json").read_bytes()
    session.mode, session.dataset = "retrain", "stand-in digits"
    train(compiled(), images)
    assert "the pretrained file stays as it is" in capsys.readouterr().out
    assert (pretrained.PRETRAINED / "tiny.json").read_bytes() == before


def test_a_light_model_trains_in_standard_mode_and_leaves_no_file(images):
    found = train(compiled(), images, name=None)
    assert not found.loaded and len(found.history["loss"]) == 2
    assert not pretrained.PRETRAINED.exists() and not checkpoints.CHECKPOINTS.exists()


def test_what_follows_does_not_depend_on_loading_or_training(written, images):
    ways = {
        "trained": lambda: train(compiled(), images, name=None),
        "read": lambda: train(compiled(), images),
        "loaded": lambda: load_pretrained(compiled(), "tiny"),
    }
    draws = {}
    for way, call in ways.items():
        assert call().loaded == (way != "trained")
        weight = float(keras.initializers.RandomNormal()((1,))[0])
        draws[way] = np.random.rand(), float(tf.random.normal(())), weight  # noqa: NPY002
    assert draws["trained"] == draws["read"] == draws["loaded"]


def test_a_model_of_another_chapter_needs_no_optimizer(written, images):
    model = Autoencoder(dense_encoder(3, (8,)), dense_decoder(3, (8,)))
    found = load_pretrained(model, "tiny")
    assert found.loaded and found.recipe["epochs"] == 2
    assert np.array_equal(model.reconstruct(images), written.reconstruct(images))
    with pytest.raises(ValueError, match=r"tiny cannot be loaded: the file was made with another recipe"):
        load_pretrained(compiled(units=9), "tiny")


# how a training goes


def test_a_training_that_stops_early_is_recorded_with_the_epochs_it_had(images, retraining, capsys):
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=1)
    assert len(train(compiled(), images, epochs=9, callbacks=[stop]).history["loss"]) == 2
    record = json.loads((pretrained.PRETRAINED / "tiny.json").read_bytes())
    assert len(record["history"]["loss"]) == 2
    session.mode = "standard"
    assert len(train(compiled(), images, epochs=9).history["loss"]) == 2
    printed = capsys.readouterr().out
    assert "tiny: trained for 2 epochs in" in printed and "tiny: loaded, trained for 2 epochs in" in printed


def test_what_the_callbacks_of_a_learner_print_stays(images, capsys):
    said = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(f"mine {epoch}"))
    train(compiled(), images, name=None, callbacks=[said])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["mine 0", "mine 1"] and "trained for 2 epochs" in lines[2]


def test_a_data_set_of_pairs_stays_at_its_epoch(images):
    pairs = NoisyPairs(images, drop_pixels, 32, seed=0, rate=0.5)
    fit_or_load(compiled(), pairs, epochs=3)
    assert pairs.epoch == 0


def test_cosine_climbs_and_falls():
    rate = training.cosine(1e-2, 1_000, warmup=100)
    assert float(rate(0)) == pytest.approx(1e-3)
    assert float(rate(100)) == pytest.approx(1e-2)
    assert float(rate(550)) < 1e-2 and float(rate(1_000)) == pytest.approx(2e-4)


def test_an_epoch_has_a_step_for_its_last_partial_batch_too():
    assert training.steps_of(3, 128, 64) == 6
    assert training.steps_of(3, 129, 64) == 9


# studies


def errors(steps, rates):
    return {"error": [steps + 0.5, float(tf.random.normal(()))]}


def not_measured(steps, rates):
    raise Trains


@pytest.fixture
def studied(retraining):
    """What a study has found that a retrain run has written."""
    outcome = study("tiny", errors, steps=3, rates=(1, 2))
    session.mode = "standard"
    return outcome


@pytest.fixture
def unmeasured(monkeypatch):
    """The function of the study cannot be called."""
    monkeypatch.setattr(errors, "__code__", not_measured.__code__)


def test_a_study_is_read_where_its_arguments_are_the_same(studied, unmeasured, capsys):
    assert study("tiny", errors, steps=3, rates=[1, 2]) == studied
    assert "tiny: loaded, measured in 0 s." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 4, "rates": (1, 2)}, "steps 3 there, 4 here"),
        ({"steps": 3, "rates": (1, 3)}, "rates"),
        ({"steps": 3, "rates": np.ones(2)}, "rates"),
        ({"steps": 3, "rates": None}, "rates"),
    ],
)
def test_a_study_with_other_arguments_is_measured_and_says_why(arguments, words, studied, unmeasured, capsys):
    with pytest.raises(Trains):
        study("tiny", errors, **arguments)
    assert f"the file was made with another recipe ({words}" in capsys.readouterr().out


def test_a_study_with_another_function_is_measured(studied, capsys):
    with pytest.raises(Trains):
        study("tiny", not_measured, steps=3, rates=(1, 2))
    assert "another recipe (function" in capsys.readouterr().out


def count(model):
    return int(model.count_params())


def test_a_model_counts_with_its_weights(retraining, capsys):
    study("counts", count, model=compiled())
    session.mode = "standard"
    for seed in (0, 1):
        study("counts", count, model=compiled(seed=seed))
        assert ("Measuring it now" in capsys.readouterr().out) == (seed == 1)


def test_a_damaged_study_is_measured_anew(studied, capsys):
    for damage in ("{", "[]", '{"recipe": 1, "outcome": 2, "seconds": "x"}'):
        (studies.STUDIES / "tiny.json").write_text(damage)
        assert study("tiny", errors, steps=3, rates=(1, 2)) == studied
        assert "its record is damaged" in capsys.readouterr().out


def test_quick_mode_neither_reads_nor_writes_a_study(studied):
    session.mode = "quick"
    with pytest.raises(Trains):
        study("tiny", not_measured, steps=3, rates=(1, 2))
    study("other", errors, steps=3, rates=None)
    assert not (studies.STUDIES / "other.json").exists()


def test_a_study_is_not_lost_where_its_folder_cannot_be_written(retraining, capsys):
    studies.STUDIES.write_text("a file where the folder should be")
    assert study("tiny", errors, steps=3, rates=None)["error"][0] == 3.5
    assert "studies/tiny.json cannot be written" in capsys.readouterr().out


def test_what_follows_a_study_does_not_depend_on_whether_it_was_read(studied):
    draws = []
    for steps in (3, 5):
        study("tiny", errors, steps=steps, rates=(1, 2))
        draws.append(float(tf.random.normal(())))
    assert draws[0] == draws[1]
