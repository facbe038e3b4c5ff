"""What decides the outcome of a training or a study, as plain JSON: the same on every machine and release of Keras 3.

A Keras configuration also holds what nobody decided: automatic names, and every option of the release with its default.
Arrays are described by moments that rounding does not change, but another selection, order or noise does.
"""

import ast
import dis
import functools
import hashlib
import importlib
import inspect
import io
import json
import re
import textwrap
import tokenize

import keras
import numpy as np
import tensorflow as tf

UNDECIDED = {"name", "dtype", "data_format", "build_config", "build_input_shape", "module", "registered_name"}
_signature = functools.cache(inspect.signature)  # takes long for what is written in C, as the bases of layers are


def describe(thing, layers=None):
    """A value, array, Keras object, function or class as JSON; ValueError for anything else.

    A Keras object becomes its class and the options that differ from their defaults, without weights. Within one,
    `layers` are the numbers that replace names of layers, and options that are None do not count.
    """
    if thing is None or isinstance(thing, bool | int | str):
        return layers.get(thing, thing) if layers and isinstance(thing, str) else thing
    if isinstance(thing, float | np.generic):
        return float(f"{float(thing):.6g}")  # Keras keeps some options in single precision
    if isinstance(thing, list | tuple | range):
        return [describe(value, layers) for value in thing]
    if isinstance(thing, dict) and {"class_name", "config"} <= thing.keys():
        return _decided(thing, layers)
    if isinstance(thing, dict):
        return {str(k): describe(v, layers) for k, v in thing.items() if v is not None or layers is None}
    if isinstance(thing, np.ndarray | tf.Tensor):
        return _moments(np.asarray(thing))
    if isinstance(thing, keras.utils.PyDataset):
        decided = {k: v for k, v in vars(thing).items() if k[0] != "_" and k not in ("epoch", "order")}
        own = type(thing).__module__ == "__main__"  # a notebook's own counts with its code
        return {"class": describe_code(type(thing)) if own else type(thing).__name__, **describe(decided)}
    if inspect.isfunction(thing) or inspect.isclass(thing):
        return describe_code(thing)
    if hasattr(thing, "get_config"):
        return _decided(keras.saving.serialize_keras_object(thing), {})
    raise ValueError(f"A {type(thing).__name__} cannot be described: give numbers, arrays, functions or Keras objects.")


def _decided(serialized: dict, layers):
    """The class of a serialized object and what differs from its defaults; the name alone if nothing does."""
    name, config = serialized["class_name"], serialized["config"]
    if name == "__keras_tensor__":
        return describe(config["keras_history"], layers)
    if not isinstance(config, dict):  # a function
        return config
    kind = keras.saving.get_registered_object(serialized.get("registered_name") or "")
    kind = kind or getattr(importlib.import_module(serialized["module"] or "__main__"), name)
    # A notebook's own class: its configuration does not say what it computes.
    kept = {"code": describe_code(kind)} if kind.__module__ == "__main__" else {}
    defaults = {}
    for base in reversed(kind.__mro__):  # an option that a class hands on to its base has its default there
        defaults |= {key: option.default for key, option in _signature(base.__init__).parameters.items()}
    inside = {layer.get("name"): number for number, layer in enumerate(config.get("layers", ()))}
    for option in sorted(config.keys() - UNDECIDED):
        decided, default = describe(config[option], inside), describe(defaults.get(option), {})
        if decided != default and not (decided is False and default is None):
            # Releases differ in whether a single input or output stands in a list of its own.
            kept[option] = keras.tree.flatten(decided) if option in ("input_layers", "output_layers") else decided
    if inputs := describe(serialized.get("inbound_nodes"), layers):
        kept["inputs"] = inputs
    if kept:
        return {"class": name, **kept}
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()  # as in `kernel_initializer="glorot_uniform"`


def _moments(array: np.ndarray):
    """Shape, mean, standard deviation, and two projections that depend on the order of the rows and of the columns."""
    if array.dtype.kind not in "biuf" or array.size == 0:
        return describe(array.tolist())
    rows = array.reshape(len(array) if array.ndim else 1, -1)
    by_row, by_column = rows.mean(axis=1, dtype=np.float64), rows.mean(axis=0, dtype=np.float64)
    projections = [np.sin(np.arange(1, len(means) + 1)) @ means / len(means) for means in (by_row, by_column)]
    moments = [by_row.mean(), rows.std(dtype=np.float64), *projections]
    return {"shape": list(array.shape), "moments": [float(f"{moment:.9g}") for moment in moments]}


def differences(made: dict, asked: dict, same_data=True) -> list[str]:
    """What differs between two descriptions; with `same_data=False` their arrays may."""
    found = []
    for key in sorted({*made, *asked}):
        there, here = made.get(key, "nothing"), asked.get(key, "nothing")
        if isinstance(there, dict) and isinstance(here, dict) and not {"class", "moments"} & {*there, *here}:
            found += differences(there, here, same_data)
        elif not _same(there, here, same_data):
            both = f" {there} there, {here} here"
            found.append(f"{key}{both if len(both) < 120 else ''}")
    return found


def _same(there, here, same_data) -> bool:
    if isinstance(there, list) and isinstance(here, list):
        return len(there) == len(here) and all(_same(a, b, same_data) for a, b in zip(there, here, strict=True))
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return there == here
    if not ("moments" in there and "moments" in here):
        return not differences(there, here, same_data)
    # A millionth of the spread: far above rounding, far below another draw of the same noise.
    tolerance = 1e-6 * np.abs(here["moments"][:2]).sum()
    close = there["shape"] == here["shape"] and np.allclose(there["moments"], here["moments"], 1e-9, tolerance)
    return close or not same_data


def describe_code(thing):
    """A function or class: its qualified name; of a notebook's own, a digest of its code and of all that it calls."""
    if thing.__module__ != "__main__":
        return f"{thing.__module__}.{thing.__qualname__}"
    return {thing.__qualname__: hashlib.sha256("".join(_sources(thing, set())).encode()).hexdigest()}


def _sources(thing, seen: set) -> list[str]:
    """The code of a function or class and of all that it calls in the notebook, in a fixed order."""
    if thing in seen or thing.__module__ != "__main__":
        return []
    seen.add(thing)
    if inspect.isclass(thing):  # inspect finds the methods of a notebook's class, but not the class itself
        own, bases = vars(thing), thing.__bases__
        functions = [getattr(member, "__func__", getattr(member, "fget", member)) for member in own.values()]
        values = [f"{k}={v}" for k, v in own.items() if k[:2] != "__" and isinstance(v, int | float | str | tuple)]
        sources = [kind.__qualname__ for kind in (thing, *bases)] + values
        for part in (*bases, *filter(inspect.isfunction, functions)):
            sources += _sources(part, seen)
        return sources
    defaults = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    sources = [bare(inspect.getsource(thing)), json.dumps(describe(defaults)) if defaults else ""]
    enclosed = {*thing.__code__.co_freevars} - {"__class__"}
    for name in sorted(enclosed | _globals_read(thing.__code__)):
        value = thing.__globals__.get(name)
        if inspect.isfunction(value) or inspect.isclass(value):
            sources += _sources(value, seen)
        elif name in enclosed or not (value is None or inspect.ismodule(value)):
            raise ValueError(f"{thing.__name__} reads {name!r} from outside: make it an argument, to be recorded.")
    return sources


def _globals_read(code) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return names.union(*(_globals_read(constant) for constant in code.co_consts if inspect.iscode(constant)))


def bare(source: str) -> str:
    """Code without comments, docstrings and white space."""
    source = textwrap.dedent(source)
    ast.parse(source)  # an error where inspect has found but half of a lambda
    lines, tokens = source.splitlines(), list(tokenize.generate_tokens(io.StringIO(source).readline))
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        docstring = (before.type, token.type, after.type) == (tokenize.INDENT, tokenize.STRING, tokenize.NEWLINE)
        if docstring or token.type == tokenize.COMMENT:
            first, last = token.start[0] - 1, token.end[0]
            lines[first:last] = [lines[first][: token.start[1]], *[""] * (last - first - 1)]
    return "".join("".join(lines).split())
