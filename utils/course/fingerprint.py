"""What the course decides about a network or an optimizer, as plain JSON that is the same on every release of Keras 3.

A Keras configuration also holds what nobody decided: automatic names, data types, and every option of the installed
release with its default. `describe` keeps what differs from a default.
"""

import importlib
import inspect
import re

import keras

__all__ = ["describe"]

UNDECIDED = {"name", "dtype", "data_format", "build_config", "build_input_shape", "module", "registered_name"}


def describe(thing):
    """A layer, model, optimizer, schedule or loss as JSON: its class, the options that differ from their defaults.

    The layers of a functional model are numbered, and their inputs name these numbers. Fractions are rounded to six
    digits, because Keras keeps some of them in single precision.

    Args:
        thing: a Keras object, or anything that JSON can hold, such as the name of a loss.
    """
    return _essence(keras.saving.serialize_keras_object(thing), {})


def _essence(value, numbers: dict):
    """`numbers` replaces the names of layers."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return _essence(value["config"]["keras_history"], numbers)
        if "class_name" in value and "config" in value:
            return _decided(value, numbers)
        return {key: _essence(item, numbers) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_essence(item, numbers) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return numbers.get(value, value) if isinstance(value, str) else value


def _decided(serialized: dict, numbers: dict):
    """The class of a serialized object and what differs from its defaults; the name alone if nothing does."""
    name, config = serialized["class_name"], serialized["config"]
    if not isinstance(config, dict):  # a function
        return config
    layers = config.get("layers", ())
    inside = {layer["name"]: number for number, layer in enumerate(layers) if "name" in layer}
    kept, defaults = {}, _defaults(serialized)
    for option in config.keys() - UNDECIDED:
        value, default = _essence(config[option], inside), _essence(defaults.get(option), {})
        if value != default and not (value is False and default is None):
            # Releases differ in whether a single input or output stands in a list of its own.
            kept[option] = keras.tree.flatten(value) if option in ("input_layers", "output_layers") else value
    if inputs := _essence(serialized.get("inbound_nodes"), numbers):
        kept["inputs"] = inputs
    if kept:
        return {"class": name, **dict(sorted(kept.items()))}
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()  # as in `kernel_initializer="glorot_uniform"`


def _defaults(serialized: dict) -> dict:
    """Option -> default of the class that a serialized object is of, as far as the class can be found."""
    kind = keras.saving.get_registered_object(serialized.get("registered_name") or "")
    if kind is None:
        kind = getattr(importlib.import_module(serialized["module"]), serialized["class_name"])
    parameters = {}
    for base in reversed(kind.__mro__):  # an option that a class hands on to its base has its default there
        parameters |= inspect.signature(base.__init__).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
