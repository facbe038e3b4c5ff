"""What Keras users expect of each of the four models: what `compile`, `fit`, `evaluate`, `export` take and refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from utils.autoencoders import Autoencoder
from utils.base import optimizers_of, predict, state_of
from utils.gan import GAN, ConditionalGAN
from utils.networks import dense_decoder, dense_discriminator, dense_encoder, dense_generator
from utils.vae import VAE

SHAPE = (6, 6, 1)
IMAGES = np.random.default_rng(0).random((40, *SHAPE), np.float32)
LABELS = np.arange(40) % 3


def parts(latents=2):
    return dense_encoder(latents, (8,), SHAPE), dense_decoder(2, (8,), SHAPE)


def adversaries():
    return dense_generator(2, (8,), SHAPE), dense_discriminator(SHAPE, (8,))


def conditional():
    z, image, label = keras.Input((2,)), keras.Input(SHAPE), keras.Input((), dtype="int32")
    one_hot = layers.CategoryEncoding(3, "one_hot")(label)
    both = layers.Concatenate()
    pixels = layers.Dense(36, "sigmoid")(both([z, one_hot]))
    logit = layers.Dense(1)(layers.Dense(8, "relu")(both([layers.Flatten()(image), one_hot])))
    generator = keras.Model([z, label], layers.Reshape(SHAPE)(pixels), name="generator")
    return ConditionalGAN(generator, keras.Model([image, label], logit, name="discriminator"), 2, 3, seed=0)


KINDS = {
    "autoencoder": lambda **options: Autoencoder(*parts(), **options),
    "vae": lambda **options: VAE(*parts(4), seed=0, **options),
    "gan": lambda **options: GAN(*adversaries(), 2, seed=0, **options),
    "cgan": conditional,
}
LIMITED = {  # to pixels in [0, 1]
    "cross-entropy": lambda: KINDS["autoencoder"](reconstruction_loss="cross_entropy"),
    **{kind: KINDS[kind] for kind in ("vae", "gan", "cgan")},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind, *optimizers, **options):
    """A compiled model with seeded weights."""
    keras.utils.set_random_seed(0)
    model = KINDS[kind](**options)
    model.compile(*(optimizers or ["adam"]))
    return model


def quiet(vae):
    """Give a VAE hardly any noise: all its log-variances are -12."""
    kernel, _ = vae.encoder.layers[-1].get_weights()
    vae.encoder.layers[-1].set_weights([np.where(np.arange(4) < 2, kernel, 0), np.float32([0, 0, -12, -12])])


def lesson(kind, images=IMAGES):
    """The arrays that `fit` takes."""
    return (images, LABELS[: len(images)]) if kind == "cgan" else (images,)


def fit(model, *arrays, **options):
    return model.fit(*arrays, **{"batch_size": 20, "shuffle": False, "verbose": 0} | options).history


# compile


@pytest.mark.parametrize(("kind", "name"), [("autoencoder", "reconstruction_loss"), ("vae", "likelihood")])
def test_a_loss_that_would_be_ignored_is_refused(kind, name):
    with pytest.raises(ValueError, match=f"loss='mse' would be ignored: choose {name}="):
        KINDS[kind]().compile("adam", loss="mse")


def test_metrics_compare_the_targets_with_the_reconstructions():
    for kind in ("autoencoder", "vae"):
        model = KINDS[kind]()
        if kind == "vae":
            quiet(model)
        model.compile(keras.optimizers.SGD(0.0), metrics=["mae"])
        found = fit(model, IMAGES, validation_data=(IMAGES[:20],))
        errors = np.abs(IMAGES - model.reconstruct(IMAGES))
        assert found["mae"] == pytest.approx([errors.mean()], abs=1e-3)
        assert found["val_mae"] == pytest.approx([errors[:20].mean()], abs=1e-3)
    model = build("autoencoder")
    model.compile(metrics=["mae"])
    measured = model.evaluate(IMAGES, 0 * IMAGES, verbose=0, return_dict=True)
    assert measured["mae"] == pytest.approx(model.reconstruct(IMAGES).mean(), abs=1e-5)


@pytest.mark.parametrize("kind", ["gan", "cgan"])
def test_a_gan_refuses_metrics_and_other_data(kind):
    with pytest.raises(ValueError, match="no targets to compute metrics from"):
        KINDS[kind]().compile("adam", "adam", metrics=["mae"])
    model = build(kind)
    with pytest.raises(ValueError, match="do not measure its images: compare samples"):
        model.evaluate(*lesson(kind))
    for options in ({"validation_data": lesson(kind)}, {"validation_split": 0.5}):
        with pytest.raises(ValueError, match="do not measure its images: compare samples"):
            fit(model, *lesson(kind), **options)


def test_optimizers_by_name():
    for kind in ("autoencoder", "vae"):
        assert isinstance(build(kind, "sgd").optimizer, keras.optimizers.SGD)
    model = build("gan", "adam", "sgd")
    assert isinstance(model.generator_optimizer, keras.optimizers.Adam)
    assert isinstance(model.discriminator_optimizer, keras.optimizers.SGD)
    assert model.generator_optimizer is not build("gan", "adam", "adam").discriminator_optimizer


@every_kind
def test_xla_may_be_asked_for(kind):
    for jit_compile in (False, True):
        model = KINDS[kind]()
        model.compile("sgd", jit_compile=jit_compile)
        assert model.jit_compile == jit_compile


def test_a_training_under_xla_reports_the_same():
    found = {}
    for jit_compile in (False, True):
        model = build("autoencoder")
        model.compile("sgd", jit_compile=jit_compile)
        found[jit_compile] = fit(model, IMAGES, batch_size=40)
    assert found[True]["loss"] == pytest.approx(found[False]["loss"], rel=1e-5)


@every_kind
def test_a_model_that_was_not_compiled_is_refused_in_a_sentence(kind):
    with pytest.raises(ValueError, match="compile"):
        fit(KINDS[kind](), *lesson(kind))


# half precision, which chapter 11 measures


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_kind
def test_half_precision(kind, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = KINDS[kind](**{"gan": {"gradient_penalty": 0.1}}.get(kind, {}))
        if "gan" in kind and policy == "mixed_float16":
            with pytest.raises(ValueError, match="mixed_float16: a GAN needs float32 or mixed_bfloat16"):
                model.compile()
            return
        model.compile("adam", jit_compile=False)
        assert np.isfinite(list(fit(model, *lesson(kind)).values())).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_gan_is_not_trained_in_pure_half_precision():
    """Its average would not move."""
    keras.config.set_dtype_policy("bfloat16")
    try:
        with pytest.raises(ValueError, match="The dtype policy is bfloat16: a GAN needs float32 or mixed_bfloat16"):
            KINDS["gan"]().compile()
    finally:
        keras.config.set_dtype_policy("float32")


@every_kind
def test_a_single_callback_needs_no_list(kind):
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    epochs = []
    fit(build(kind), *lesson(kind), callbacks=seen)
    assert epochs == [0]


# data: ranges, types, shapes, numbers that are none


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(array[20 * index : 20 * index + 20] for array in self.arrays)


CARRIERS = {
    "arrays": lambda *arrays: {"x": arrays[0], "y": (*arrays, None)[1]},
    "data set": lambda *arrays: {"x": tf.data.Dataset.from_tensor_slices(arrays).batch(20)},
    "PyDataset": lambda *arrays: {"x": Batches(*arrays)},
    "generator": lambda *arrays: {"x": (Batches(*arrays)[index % 2] for index in range(4)), "steps_per_epoch": 2},
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("kind", LIMITED)
def test_pixels_beyond_their_range_are_refused(kind, carrier):
    model = LIMITED[kind]()
    model.compile("adam")
    for images, words in (
        (255 * IMAGES, r"values from 0.* to 25.*, but \[0, 1\] is needed: divide by 255"),
        (2 * IMAGES - 1, r"values from -.* to 0.9.*, but \[0, 1\] is needed: rescale them"),
        (np.where(IMAGES > 0.9, np.nan, IMAGES), "values that are not finite"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(**CARRIERS[carrier](*lesson(kind, images)), verbose=0)


def test_evaluation_checks_its_images():
    for kind in ("cross-entropy", "vae"):
        model = LIMITED[kind]()
        model.compile("adam")
        with pytest.raises(ValueError, match="divide by 255"):
            model.evaluate(255 * IMAGES, verbose=0)


def test_squared_error_and_gaussian_pixels_may_have_any_range():
    for model in (KINDS["autoencoder"](), KINDS["vae"](likelihood="gaussian")):
        model.compile("sgd")
        model.check_data(255 * IMAGES - 3)
        assert np.isfinite(fit(model, IMAGES - 3)["loss"]).all()
    with pytest.raises(ValueError, match="images hold values that are not finite"):
        fit(build("autoencoder"), np.full_like(IMAGES, np.nan))
    with pytest.raises(ValueError, match="targets hold values that are not finite"):
        fit(build("autoencoder"), IMAGES, np.full_like(IMAGES, np.inf))


@pytest.mark.parametrize("carrier", ["generator", "PyDataset", "data set"])
def test_no_batch_is_lost_to_the_check(carrier):
    """Also not of a generator, which cannot be read twice."""
    seen = {}
    for name in ("arrays", carrier):
        seen[name] = fit(
            build("autoencoder", "sgd"), batch_size=None if name != "arrays" else 20, **CARRIERS[name](IMAGES)
        )
    assert seen[carrier]["loss"] == pytest.approx(seen["arrays"]["loss"], rel=1e-5)


@pytest.mark.parametrize("kind", ["autoencoder", *LIMITED])
def test_pixels_of_any_type_count_as_numbers(kind):
    """Also with a gradient penalty, which needs the derivative by the pixels."""
    model = (KINDS | LIMITED)[kind](**{"gan": {"gradient_penalty": 0.1}}.get(kind, {}))
    model.compile("sgd")
    start, histories = [np.asarray(variable) for variable in state_of(model)], []
    for dtype in ("float32", "uint8", "int64", "bool"):
        for variable, value in zip(state_of(model), start, strict=True):
            variable.assign(value)
        histories.append(fit(model, *lesson(kind, (IMAGES > 0.5).astype(dtype))))
    for history in histories[1:]:
        assert all(history[name] == pytest.approx(values, rel=1e-5) for name, values in histories[0].items())


@every_kind
def test_images_of_another_shape_are_refused(kind):
    model = build(kind)
    for images in (IMAGES[..., 0], IMAGES[:, :5], IMAGES[0]):
        with pytest.raises(ValueError, match=r"images have shape .*, but \(n, 6, 6, 1\) is needed"):
            fit(model, *lesson(kind, images))


def test_calls_by_a_reader_check_shapes():
    for kind in ("autoencoder", "vae"):
        model = build(kind)
        for call in (model.reconstruct, model.encode):
            with pytest.raises(ValueError, match=r"images have shape \(6, 6, 1\), but \(n, 6, 6, 1\) is needed"):
                call(IMAGES[0])
        with pytest.raises(ValueError, match=r"codes have shape \(40, 3\), but \(n, 2\) is needed"):
            model.decode(np.zeros((40, 3)))
    with pytest.raises(ValueError, match=r"latent vectors have shape \(2,\), but \(n, 2\) is needed"):
        build("gan").generate(np.zeros(2))


def test_labels_are_no_targets():
    with pytest.raises(ValueError, match=r"targets have shape \(40,\), but \(n, 6, 6, 1\) is needed"):
        fit(build("autoencoder"), IMAGES, LABELS)


@every_kind
def test_nothing_to_train_on(kind):
    model = build(kind)
    for options in (
        CARRIERS["arrays"](*lesson(kind, IMAGES[LABELS == 99])),
        {"x": CARRIERS["data set"](*lesson(kind))["x"].take(0)},
    ):
        with pytest.raises(ValueError, match="no images to train on: the selection is empty"):
            fit(model, **options | {"batch_size": None})


@every_kind
def test_nothing_in_nothing_out(kind):
    model = build(kind)
    none = LABELS[:0] if kind == "cgan" else 0
    if kind != "autoencoder":
        assert model.sample(none).shape == (0, *SHAPE)
    if kind in ("autoencoder", "vae"):
        assert model.reconstruct(IMAGES[:0]).shape == (0, *SHAPE)
        codes = model.encode(IMAGES[:0])
        assert {code.shape for code in (codes if kind == "vae" else [codes])} == {(0, 2)}
        assert model.decode(np.zeros((0, 2))).shape == (0, *SHAPE)


def test_nothing_in_gives_nothing_for_each_output():
    image = keras.Input(SHAPE)
    flat = layers.Flatten()(image)
    outputs = predict(keras.Model(image, [flat, layers.Dense(3)(flat)]), IMAGES[:0])
    assert [output.shape for output in outputs] == [(0, 36), (0, 3)]


@keras.saving.register_keras_serializable("tests")
def rescaled_tanh(x):
    return 0.5 * (1 + keras.ops.tanh(x))


def test_a_generator_may_end_in_an_activation_of_ones_own():
    z, (_, discriminator) = keras.Input((2,)), adversaries()
    own = layers.Dense(36, activation=rescaled_tanh)(z)
    model = GAN(keras.Model(z, layers.Reshape(SHAPE)(own), name="generator"), discriminator, 2, seed=0)
    model.compile()
    assert np.isfinite(fit(model, IMAGES)["g_loss"]).all()


def test_a_data_set_that_never_ends_needs_the_length_of_an_epoch():
    endless = tf.data.Dataset.from_tensor_slices(IMAGES).batch(20).repeat()
    for kind in ("autoencoder", "vae", "gan"):
        model = build(kind)
        with pytest.raises(ValueError, match=r"repeats without an end: give steps_per_epoch="):
            model.fit(endless, verbose=0)
    history = build("autoencoder", "sgd").fit(endless, steps_per_epoch=2, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx(fit(build("autoencoder", "sgd"), IMAGES, batch_size=20)["loss"], rel=1e-5)


# networks that end in a sigmoid


def ending_in_a_sigmoid(network):
    return keras.Sequential([network, layers.Activation("sigmoid")])


@pytest.mark.parametrize(
    "make",
    [
        lambda encoder, decoder: Autoencoder(dense_encoder(2, (8,), SHAPE), decoder),
        lambda encoder, decoder: Autoencoder(dense_encoder(2, (8,), SHAPE), decoder, "cross_entropy"),
        lambda encoder, decoder: VAE(encoder, decoder),
    ],
)
def test_a_decoder_that_ends_in_a_sigmoid_is_noticed(make):
    encoder, decoder = parts(4)
    inside = keras.Sequential([keras.Input((2,)), layers.Dense(36, "sigmoid"), layers.Reshape(SHAPE)])
    for wrong in (ending_in_a_sigmoid(decoder), inside):
        with pytest.raises(ValueError, match="The decoder ends in a sigmoid, which the model applies itself"):
            make(encoder, wrong)


def test_a_discriminator_that_ends_in_a_sigmoid_is_noticed():
    generator, discriminator = adversaries()
    with pytest.raises(ValueError, match="The discriminator ends in a sigmoid"):
        GAN(generator, ending_in_a_sigmoid(discriminator), 2)


def test_a_sigmoid_is_right_where_pixels_are_meant():
    encoder, decoder = parts()
    Autoencoder(encoder, ending_in_a_sigmoid(decoder), output="linear")
    VAE(parts(4)[0], ending_in_a_sigmoid(decoder), likelihood="gaussian")


# training that fails


@pytest.mark.parametrize("cause", ["a learning rate", "an image"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_diverges_stops_with_the_last_good_weights_and_optimizers(kind, cause):
    model = build(kind)
    fit(model, *lesson(kind))
    images = IMAGES.copy()
    if cause == "a learning rate":
        for optimizer in optimizers_of(model):
            optimizer.learning_rate = 1e30
    else:
        images[-1] = np.nan
    before = [np.asarray(variable) for variable in state_of(model)]
    assert any(np.abs(value).max() > 0 for value in before if value.ndim)
    given = CARRIERS["data set"](*lesson(kind, images))
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 1, so training stopped.*learning rate"):
        model.fit(**given, shuffle=False, epochs=3, verbose=0)  # of which one batch is looked at
    after = [np.asarray(variable) for variable in state_of(model)]
    assert all(map(np.array_equal, before, after))
    for optimizer in optimizers_of(model):
        optimizer.learning_rate = 1e-3
    assert all(np.isfinite(values).all() for values in fit(model, *lesson(kind)).values())  # it can go on


def test_the_epochs_before_a_failure_are_kept():
    model, kept = build("vae"), []

    def on_epoch_end(epoch, logs):
        kept.append(model.get_weights())
        model.optimizer.learning_rate = 1e30

    with pytest.raises(FloatingPointError, match="epoch 2"):
        fit(model, IMAGES, epochs=3, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)])
    assert all(map(np.array_equal, kept[0], model.get_weights()))


# what is saved and exported


@every_kind
def test_new_trained_and_loaded_models_are_exported(kind, tmp_path):
    model = build(kind)
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    given = {"gan": z, "cgan": [z, LABELS[:5].astype(np.int32)]}.get(kind, IMAGES[:5])
    for stage in ("new", "trained", "loaded"):
        if stage == "trained":
            fit(model, *lesson(kind))
        if stage == "loaded":
            model.save(tmp_path / "model.keras")
            model = keras.models.load_model(tmp_path / "model.keras")
        model.export(tmp_path / stage, verbose=False)
        exported = tf.saved_model.load(tmp_path / stage)
        outputs = [keras.tree.flatten(call(given)) for call in (exported.serve, model)]
        # Each call of a VAE samples anew: what does not depend on the noise is compared, its moments.
        for one, two in list(zip(*outputs, strict=True))[kind == "vae" :]:
            assert np.asarray(one) == pytest.approx(np.asarray(two), abs=1e-6)


def test_an_exported_vae_reconstructs(tmp_path):
    model = build("vae")
    quiet(model)  # so that its outputs are the reconstructions
    model.export(tmp_path / "vae", verbose=False)
    exported = tf.saved_model.load(tmp_path / "vae")
    logits = exported.serve(IMAGES)[0]
    assert tf.sigmoid(logits).numpy() == pytest.approx(model.reconstruct(IMAGES), abs=5e-3)


# helpers


def test_predict_takes_any_number_of_inputs():
    network = dense_encoder(2, (8,), SHAPE)
    assert predict(network, IMAGES[:0]).shape == (0, 2)
    assert predict(network, np.tile(IMAGES, (26, 1, 1, 1))).shape == (1040, 2)  # more than one batch
    generator = conditional().generator
    assert predict(generator, [np.zeros((4, 2)), np.arange(4) % 3]).shape == (4, *SHAPE)
    assert predict(generator, [np.zeros((0, 2)), np.arange(0)]).shape == (0, *SHAPE)


def test_the_state_of_a_model_has_its_optimizers_whether_they_were_built_or_not():
    new, built = build("autoencoder"), build("autoencoder")
    built.optimizer.build(built.trainable_variables)
    assert [v.shape for v in state_of(new)] == [v.shape for v in state_of(built)]
    assert len(state_of(built)) > 2 * len(built.weights)  # Adam keeps two moments of each weight
    assert len(optimizers_of(new)) == 1
    assert len(optimizers_of(build("gan"))) == 2
    assert optimizers_of(KINDS["vae"]()) == []
