"""What decides the outcome of a training or a study, as plain JSON: the same on every machine and release of Keras 3.

A Keras configuration also holds what nobody decided: automatic names, data types, and every option of the installed
release with its default. `describe` keeps what differs from a default. Arrays are described by a few moments, which
rounding on another machine does not change, but another selection, another order or another noise does.
"""

import ast
import dis
import functools
import hashlib
import importlib
import inspect
import io
import json
import math
import re
import textwrap
import tokenize

import keras
import numpy as np
import tensorflow as tf

UNDECIDED = {"name", "dtype", "data_format", "build_config", "build_input_shape", "module", "registered_name"}


def describe(thing):
    """A value, array, Keras object, function or class as JSON.

    A Keras object becomes its class and the options that differ from their defaults, without weights; the layers of a
    functional model are numbered, and their inputs name these numbers. For functions and classes see `describe_code`.

    Raises:
        ValueError: for anything else.
    """
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float | np.generic):
        return _rounded(thing.item() if isinstance(thing, np.generic) else thing)
    if isinstance(thing, dict):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | range):
        return [describe(value) for value in thing]
    if isinstance(thing, np.ndarray | tf.Tensor):
        return _moments(np.asarray(thing))
    if isinstance(thing, keras.utils.PyDataset):
        public = {name: value for name, value in vars(thing).items() if not name.startswith("_")}
        return {"class": type(thing).__name__} | describe(
            {k: v for k, v in public.items() if k not in ("epoch", "order")}
        )
    if isinstance(thing, functools.partial):
        return [describe_code(thing.func), describe(thing.args), describe(thing.keywords)]
    if inspect.isfunction(thing) or inspect.isclass(thing):
        return describe_code(thing)
    if isinstance(thing, keras.Layer | keras.optimizers.Optimizer | keras.losses.Loss) or hasattr(thing, "get_config"):
        return _essence(keras.saving.serialize_keras_object(thing), {})
    raise ValueError(f"A {type(thing).__name__} cannot be described: give numbers, arrays, functions or Keras objects.")


def _moments(array: np.ndarray) -> dict:
    """Shape, mean, standard deviation, and two projections that depend on the order of the rows and of the columns."""
    if array.dtype.kind not in "biuf":
        return {"shape": list(array.shape), "values": [str(value) for value in array.ravel()]}
    if array.size == 0:
        return {"shape": list(array.shape), "moments": []}
    rows = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    by_row, by_column = rows.mean(axis=1, dtype=np.float64), rows.mean(axis=0, dtype=np.float64)
    projections = [np.sin(np.arange(1, len(means) + 1)) @ means / len(means) for means in (by_row, by_column)]
    moments = [by_row.mean(), rows.std(dtype=np.float64), *projections]
    return {"shape": list(array.shape), "moments": [float(f"{moment:.9g}") for moment in moments]}


def differences(made: dict, asked: dict, same_data=True) -> list[str]:
    """What differs between two descriptions, with both values where these are short; empty if nothing does.

    With `same_data=False` the arrays may be any: the two were made on different data sets.
    """
    found = []
    for key in sorted({*made, *asked}):
        there, here = made.get(key), asked.get(key)
        if _same(there, here, same_data):
            continue
        if isinstance(there, dict) and isinstance(here, dict) and not {"class", "moments"} & {*there, *here}:
            found += differences(there, here, same_data)
        else:
            both = f" {there} there, {here} here"
            found.append(f"{key}{both if len(both) < 120 else ''}")
    return found


def _same(there, here, same_data) -> bool:
    if isinstance(there, dict) and isinstance(here, dict):
        if "moments" in there and "moments" in here:
            return not same_data or (there["shape"] == here["shape"] and _close(there["moments"], here["moments"]))
        return there.keys() == here.keys() and all(_same(there[key], here[key], same_data) for key in there)
    if isinstance(there, list) and isinstance(here, list):
        return len(there) == len(here) and all(map(functools.partial(_same, same_data=same_data), there, here))
    return there == here


def _close(there, here) -> bool:
    # A millionth of the spread: far above rounding, far below another draw of the same noise.
    tolerance = 1e-6 * (abs(here[0]) + here[1]) if here else 0
    return len(there) == len(here) and all(
        math.isclose(a, b, abs_tol=tolerance) for a, b in zip(there, here, strict=True)
    )


def describe_code(thing):
    """A function or class: its qualified name; of a notebook's own, a digest of its code and of those that it calls.

    Comments, docstrings and white space do not count.

    Raises:
        ValueError: the function reads a global value, or one of an enclosing function. A change of it would not be
            noticed, so it has to be an argument.
    """
    if thing.__module__ != "__main__":
        return f"{thing.__module__}.{thing.__qualname__}"
    return {thing.__qualname__: hashlib.sha256("".join(_sources(thing, {})).encode()).hexdigest()}


def _sources(thing, seen: dict) -> list[str]:
    """The bare code of a function or class and of all that it calls in the notebook, in a fixed order."""
    if thing in seen:
        return []
    seen[thing] = True
    sources, functions = [], [thing]
    if inspect.isclass(thing):  # inspect finds the methods of a notebook's class, but not the class itself
        members = [getattr(member, "__func__", getattr(member, "fget", member)) for member in vars(thing).values()]
        functions = list(filter(inspect.isfunction, members))
        values = [
            f"{k}={v}" for k, v in vars(thing).items() if k[:2] != "__" and isinstance(v, int | float | str | tuple)
        ]
        sources = [thing.__qualname__, *(base.__qualname__ for base in thing.__bases__), *values]
        for base in thing.__bases__:
            sources += _sources(base, seen) if base.__module__ == "__main__" else []
    for function in functions:
        sources.append(bare(inspect.getsource(function)))
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        sources.append(json.dumps([describe(default) for default in defaults]) if defaults else "")
        for name in sorted(_names_read(function.__code__)):
            value = function.__globals__.get(name)
            if inspect.isfunction(value) or inspect.isclass(value):
                sources += _sources(value, seen) if value.__module__ == "__main__" else []
            elif name in function.__code__.co_freevars or not (value is None or inspect.ismodule(value)):
                raise ValueError(
                    f"{function.__name__} reads {name!r} from outside. Make it an argument: otherwise nobody would "
                    "notice that it has changed."
                )
    return sources


def _names_read(code) -> set[str]:
    """Global names that a function reads, and names of the function around it."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    inner = [_names_read(constant) - set(code.co_cellvars) for constant in code.co_consts if inspect.iscode(constant)]
    return names.union(*inner, code.co_freevars) - {"__class__"}


def bare(source: str) -> str:
    """Code without comments, docstrings and white space."""
    source = textwrap.dedent(source)
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            documentation = node.body[0]
            lines[documentation.lineno - 1 : documentation.end_lineno] = [""] * (
                documentation.end_lineno - documentation.lineno + 1
            )
    return "".join("".join(lines).split())


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")  # Keras keeps some options in single precision


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
        return _rounded(value)
    return numbers.get(value, value) if isinstance(value, str) else value


def _decided(serialized: dict, numbers: dict):
    """The class of a serialized object and what differs from its defaults; the name alone if nothing does."""
    name, config = serialized["class_name"], serialized["config"]
    if not isinstance(config, dict):  # a function
        return config
    layers = config.get("layers", ())
    inside = {layer["name"]: number for number, layer in enumerate(layers) if "name" in layer}
    kind = _class_of(serialized)
    kept, defaults = {}, _defaults(kind)
    if kind.__module__ == "__main__":  # a notebook's own class: its configuration does not say what it computes
        kept["code"] = describe_code(kind)
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


def _class_of(serialized: dict):
    """The class that a serialized object is of: a registered one, one of a module, or one of the notebook."""
    kind = keras.saving.get_registered_object(serialized.get("registered_name") or "")
    return kind or getattr(importlib.import_module(serialized["module"] or "__main__"), serialized["class_name"])


def _defaults(kind) -> dict:
    """Option -> default of a class."""
    parameters = {}
    for base in reversed(kind.__mro__):  # an option that a class hands on to its base has its default there
        parameters |= inspect.signature(base.__init__).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
