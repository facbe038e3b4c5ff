"""Stacked autoencoders: one shallow autoencoder at a time, each trained on the codes of the one before."""

import keras
from keras import layers

from utils.autoencoders import Autoencoder
from utils.training import Training, cosine, fit_or_load, steps_of

__all__ = ["pretrain_greedily", "stacked"]


def stacked(blocks, name="stacked") -> Autoencoder:
    """One deep autoencoder of all blocks; it shares their weights.

    Args:
        blocks: pairs (encoder, decoder) of built Keras models, from the image inwards. Each decoder turns the
            code of its encoder back into what that encoder was given. None raise ValueError.
    """
    if not blocks:
        raise ValueError("A stack is made of at least one block: give pairs (encoder, decoder).")
    encoders, decoders = zip(*blocks, strict=True)
    encoder, decoder = keras.Sequential(encoders, name="encoder"), keras.Sequential(decoders[::-1], name="decoder")
    return Autoencoder(encoder, decoder, name=name)


def pretrain_greedily(blocks, images, *, noise, epochs, batch_size, learning_rate, name=None) -> list[Training]:
    """Train the blocks one after the other, as denoising autoencoders (Bengio et al. 2007; Vincent et al. 2010).

    The first block learns to reconstruct the images, the second the codes that the first, now frozen, gives for
    them, and so on: of the inputs of each block a share `noise` is set to 0.

    Args:
        blocks: as for `stacked`. All codes but the last come from a relu, so that 0 means "nothing here".
        images: (n, ...) in [0, 1].
        epochs, batch_size: of each block.
        learning_rate: its peak; it follows `cosine`.
        name: of the pretrained files, "04_block" for 04_block_1 and so on; None trains always.

    Returns:
        How the training of each block went.
    """
    inputs, trainings = images, []
    for number, (encoder, decoder) in enumerate(blocks, start=1):
        output = "sigmoid" if number == 1 else "linear"  # pixels are in [0, 1], codes are any number
        noisy = keras.Sequential([keras.Input(encoder.input_shape[1:]), layers.Dropout(noise), encoder])
        shallow = Autoencoder(noisy, decoder, output=output, name=f"block_{number}")
        shallow.compile(keras.optimizers.Adam(cosine(learning_rate, steps_of(epochs, len(inputs), batch_size))))
        file = name and f"{name}_{number}"
        trainings.append(fit_or_load(shallow, inputs, name=file, epochs=epochs, batch_size=batch_size))
        inputs = encoder.predict(inputs, batch_size=1000, verbose=0)
    return trainings
