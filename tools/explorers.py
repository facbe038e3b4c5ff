"""Networks of the course as files that a web page can run, for the explorers of the site (`tools/explorers.js`).

Each file holds one network from data/pretrained: a list of simple layers, and their weights in half precision, which is
how data/pretrained has them. It is a script, because a browser that reads a page from a folder loads scripts from
there, but no other data. What the explorer of the flow needs besides weights, the moments of the codes, stands in
tools/codes.json, so that the site is built without the data: `python -m tools.explorers` measures them anew.
"""

import base64
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils.course.session import DATA  # first: it keeps TensorFlow's log out of the output

# isort: split
import keras
import numpy as np
from keras import layers
from sklearn.linear_model import LinearRegression

from tools import COURSE
from utils.autoencoders import Autoencoder
from utils.course.pretrained import load_pretrained
from utils.data import load_mnist
from utils.drawn.faces import FACTORS, draw_faces
from utils.flow import FlowMatching
from utils.gan import ConditionalGAN
from utils.networks import MinibatchStandardDeviation
from utils.vae import VAE

ACTIVATIONS = ("linear", "relu", "sigmoid", "silu")
LIMIT = 4_000_000  # bytes of a file
DRAWN = 3_000  # faces whose codes and factors give the directions
FACES = 24  # that "another face" goes through
KINDS = (Autoencoder, VAE, ConditionalGAN, FlowMatching, MinibatchStandardDeviation)
OWN = {kind.__name__: kind for kind in KINDS}  # classes of the records
CHANGED = {  # attribute -> its name beside the slider, and words for the values
    "hair_color": ["Hair", "black", "brown", "blond"],
    "sunglasses": ["Sunglasses", "none", "half", "dark"],
    "smile": ["Smile", "sad", "straight", "happy"],
    "skin_tone": ["Skin", "light", "medium", "dark"],
}
CODES = COURSE / "tools" / "codes.json"
OF_CODES = "01_deep"  # the autoencoder on whose codes the flow was trained


def network(model, then=()) -> dict:
    """A Keras model as JSON: its nodes in the order of computation, and all their weights as base64.

    A node names its kind, the nodes `from` which it gets its inputs, and where its weights are. It computes `scale`
    times what its kernel makes of the inputs, plus `bias`. So batch normalization, which scales and shifts at
    inference, has no node of its own. Scales and biases have single precision, because a kernel that is scaled and
    rounded again moves some pixels of the conditional GAN by more than 0.002.

    Args:
        model: Sequential or Functional, built of the layers in `TRANSLATED`; otherwise ValueError.
        then: names of activations that follow, such as the sigmoid that makes pixels of logits.
    """
    nodes = [{"kind": "input", "from": [], "index": index} for index in range(len(model.inputs))]
    place = {id(tensor): number for number, tensor in enumerate(model.inputs)}  # of the node that computes a tensor
    read = [id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.input)]
    for layer in model.layers:
        inputs = keras.tree.flatten(layer.input)
        if isinstance(layer, layers.InputLayer):
            continue
        if type(layer) not in TRANSLATED:
            known = ", ".join(kind.__name__ for kind in TRANSLATED)
            raise unknown(layer, f"which is a {type(layer).__name__}: they know {known}")
        if any(read.count(id(tensor)) > 1 for tensor in inputs) and type(layer) is layers.BatchNormalization:
            raise unknown(layer, "because it cannot be folded into a layer whose output another layer reads, too")
        place[id(layer.output)] = TRANSLATED[type(layer)](layer, nodes, [place[id(tensor)] for tensor in inputs])
    last = place[id(model.outputs[0])]
    if last != len(nodes) - 1 or len(model.outputs) > 1:
        raise ValueError(f"{model.name}: an explorer shows one output, which the last layer computes.")
    for name in then:
        last = add(nodes, "activation", [last], function=name)
    return {"nodes": nodes, "shape": list(model.outputs[0].shape[1:]), **packed(nodes)}


def unknown(layer, why: str) -> ValueError:
    return ValueError(f"The explorers cannot run the layer {layer.name}, {why}. See tools/explorers.py and .js.")


def add(nodes: list, kind: str, sources: list[int], **options) -> int:
    nodes.append({"kind": kind, "from": sources, **options})
    return len(nodes) - 1


def activated(layer, function, nodes, source) -> int:
    """The number of the node after which this activation has been applied."""
    name = keras.activations.serialize(function)
    if name not in ACTIVATIONS:
        raise unknown(layer, f"whose activation is {name}: they know {', '.join(ACTIVATIONS)}")
    return source if name == "linear" else add(nodes, "activation", [source], function=name)


def units(layer, count) -> dict:
    """Scale and bias of each unit, or filter, of a layer."""
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(count)
    return {"scale": np.ones(count), "bias": bias}


def dense(layer, nodes, sources) -> int:
    if len(layer.input.shape) != 2:
        raise unknown(layer, f"because its inputs have shape {layer.input.shape}, not (batch, n)")
    kernel = layer.kernel.numpy().T  # (units, inputs): a unit's weights side by side
    return activated(
        layer, layer.activation, nodes, add(nodes, "dense", sources, kernel=kernel, **units(layer, layer.units))
    )


def transposed_convolution(layer, nodes, sources) -> int:
    usual = {"padding": "same", "dilation_rate": (1, 1), "output_padding": None, "data_format": "channels_last"}
    for option, value in usual.items():
        if getattr(layer, option) != value:
            raise unknown(layer, f"whose {option} is {getattr(layer, option)}, not {value}")
    if len({*layer.kernel_size}) > 1 or len({*layer.strides}) > 1:
        raise unknown(layer, "because its kernel, or its stride, is not square")
    # The output is `stride` times as large as the input; what reaches beyond it is cut off on both sides.
    (size, _), (stride, _) = layer.kernel_size, layer.strides
    shapes = {"input": list(layer.input.shape[1:]), "output": list(layer.output.shape[1:])}
    shapes |= {"size": size, "stride": stride, "cut": max(size - stride, 0) // 2}
    kernel = layer.kernel.numpy()  # (size, size, filters, channels)
    last = add(nodes, "transposed_convolution", sources, **shapes, kernel=kernel, **units(layer, layer.filters))
    return activated(layer, layer.activation, nodes, last)


def batch_normalization(layer, nodes, sources) -> int:
    """Folds γ (x - mean) / sqrt(variance + ε) + β into scale and bias of the layer that computes x."""
    node, rank = nodes[sources[0]], len(layer.input.shape)
    if "kernel" not in node:
        raise unknown(layer, "because it can only be folded into a Dense or Conv2DTranspose without activation")
    if layer.axis not in (-1, rank - 1) or len(node["bias"]) != layer.input.shape[-1]:
        raise unknown(layer, "because it does not normalize the units, or channels, of the layer before it")
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    gamma = layer.gamma.numpy() if layer.scale else 1
    beta = layer.beta.numpy() if layer.center else 0
    scale = gamma / np.sqrt(variance + layer.epsilon)
    node["scale"], node["bias"] = node["scale"] * scale, (node["bias"] - mean) * scale + beta
    return sources[0]


def one_hot(layer, nodes, sources) -> int:
    if layer.output_mode != "one_hot":
        raise unknown(layer, f"whose output_mode is {layer.output_mode}, not one_hot")
    return add(nodes, "one_hot", sources, count=layer.num_tokens)


def concatenated(layer, nodes, sources) -> int:
    if len(layer.output.shape) != 2:
        raise unknown(layer, f"because it returns shape {layer.output.shape}, not (batch, n)")
    return add(nodes, "concatenate", sources)


def rectified(layer, nodes, sources) -> int:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise unknown(layer, "because it is not the plain max(0, x)")
    return add(nodes, "activation", sources, function="relu")


def layer_normalization(layer, nodes, sources) -> int:
    if tuple(layer.axis) not in ((-1,), (1,)) or len(layer.input.shape) != 2 or getattr(layer, "rms_scaling", False):
        raise unknown(layer, "because it does not normalize the units of inputs of shape (batch, n)")
    count = layer.input.shape[-1]
    gamma = layer.gamma.numpy() if layer.scale else np.ones(count)
    beta = layer.beta.numpy() if layer.center else np.zeros(count)
    return add(nodes, "layer_normalization", sources, epsilon=layer.epsilon, scale=gamma, bias=beta)


def merged(kind: str) -> Callable:
    """The translation of Add and Multiply."""

    def translate(layer, nodes, sources) -> int:
        shapes = {tuple(tensor.shape) for tensor in layer.input}
        if len(sources) != 2 or len(shapes) > 1:
            raise unknown(layer, f"whose inputs have shapes {sorted(shapes)}: they take two of one shape")
        return add(nodes, kind, sources)

    return translate


def rescaling(layer, nodes, sources) -> int:
    """Of the units of (batch, n), or of the channels of images."""
    both = {"scale": layer.scale, "bias": layer.offset}
    count = layer.output.shape[-1]
    return add(nodes, "rescale", sources, **{name: np.broadcast_to(value, count) for name, value in both.items()})


TRANSLATED: dict[type, Callable] = {
    layers.Dense: dense,
    layers.Conv2DTranspose: transposed_convolution,
    layers.BatchNormalization: batch_normalization,
    layers.Reshape: lambda layer, nodes, sources: sources[0],  # the numbers stay in their order
    layers.Activation: lambda layer, nodes, sources: activated(layer, layer.activation, nodes, sources[0]),
    layers.ReLU: rectified,
    layers.CategoryEncoding: one_hot,
    layers.Concatenate: concatenated,
    layers.LayerNormalization: layer_normalization,
    layers.Add: merged("add"),
    layers.Multiply: merged("multiply"),
    layers.Rescaling: rescaling,
}


def packed(nodes: list) -> dict:
    """Kernels in half precision, scales and biases in single, as base64; [start, end] replaces an array of a node."""
    types, arrays = {"kernel": "<f2", "scale": "<f4", "bias": "<f4"}, {"<f2": [], "<f4": []}
    for node in nodes:
        for name in sorted(types.keys() & node.keys()):
            with np.errstate(over="ignore"):  # the error below says it better
                array = np.asarray(node[name], types[name]).ravel()
            if not np.isfinite(array).all():
                raise ValueError(f"A weight of a {node['kind']} is not finite in half precision.")
            start = sum(map(len, arrays[types[name]]))
            node[name] = [start, start + len(array)]
            arrays[types[name]].append(array)
    text = {kind: base64.b64encode(b"".join(part.tobytes() for part in parts)) for kind, parts in arrays.items()}
    return {"kernels": text["<f2"].decode(), "units": text["<f4"].decode()}


@functools.cache
def pretrained(name: str):
    """The model that data/pretrained holds under this name, built from its record."""
    record = json.loads((DATA / "pretrained" / f"{name}.json").read_text(encoding="utf-8"))
    try:
        model = built(record["recipe"]["network"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    load_pretrained(model, name)  # raises an error if the model is not exactly the recorded one
    return model


def built(described, is_layer=False):
    """The Keras object that `utils.course.fingerprint.describe` has described, without what decides nothing."""
    if is_layer and isinstance(described, str):  # a layer with no option but defaults
        named = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): name for name in dir(layers)}
        described = {"class": named[described]}
    if not (isinstance(described, dict) and "class" in described):
        return described
    options = {name: built(value) for name, value in described.items() if name not in ("class", "layers", "inputs")}
    kind = described["class"]
    if kind == "Sequential":
        return keras.Sequential([built(layer, is_layer=True) for layer in described["layers"]])
    if kind == "Functional":
        return wired(described)
    found = OWN.get(kind) or getattr(layers, kind, None)
    if found is None or "code" in described:
        raise ValueError(f"the record does not say how to build a {kind}: add it to OWN if it is a class of utils.")
    return found(**options)


def wired(described: dict):
    """A Functional model; `inputs` of a layer number the layers that it reads, and one triple stands for each."""
    tensors = []
    for each in described["layers"]:
        layer = built(each, is_layer=True)
        if isinstance(layer, layers.InputLayer):
            tensors.append(layer.output)
            continue
        (read,) = each["inputs"][0]["args"]
        tensors.append(layer([tensors[one[0]] for one in read] if isinstance(read[0], list) else tensors[read[0]]))
    inputs, outputs = ([tensors[i] for i in described[f"{end}_layers"][::3]] for end in ("input", "output"))
    return keras.Model(inputs, outputs[0])


def decoder_of(vae) -> dict:
    return network(vae.decoder, ["sigmoid"] if vae.likelihood == "bernoulli" else [])


def plane() -> dict:
    """A VAE of two latents."""
    vae = pretrained(EXPLORERS["plane"].model)
    if vae.latent_dim != 2:
        raise ValueError(f"The plane needs a VAE of two latents, but {EXPLORERS['plane'].model} has {vae.latent_dim}.")
    return {"network": decoder_of(vae)}


def faces() -> dict:
    """A VAE of faces, codes of faces that it has not seen, and the change of a code with each attribute."""
    vae = pretrained(EXPLORERS["faces"].model)
    images, factors = draw_faces(DRAWN, [0, 0])
    shown, shown_factors = draw_faces(FACES, [0, 2])  # as chapter 07 draws its test images
    if images.shape[1:] != vae.encoder.input_shape[1:]:
        raise ValueError(f"Drawn faces have shape {images.shape[1:]}, but the VAE takes {vae.encoder.input_shape[1:]}.")
    codes, starts = (vae.encode(np.float32(part) / 255)[0] for part in (images, shown))
    found = directions(codes, factors)
    attributes = [
        {
            "words": CHANGED[name],
            "limits": FACTORS[name],
            "direction": rounded(found[name]),
            "values": rounded(shown_factors[name]),
        }
        for name in CHANGED
    ]
    return {"network": decoder_of(vae), "codes": rounded(starts), "attributes": attributes}


def directions(codes: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Factor -> how a code (d,) changes per unit of it while the others are held fixed, by least squares."""
    fit = LinearRegression().fit(np.column_stack(list(factors.values())), codes)
    return dict(zip(factors, fit.coef_.T, strict=True))


def rounded(array) -> list:
    return np.round(np.float64(array), 4).tolist()


def classes() -> dict:
    """The generator of a conditional GAN."""
    gan = pretrained(EXPLORERS["classes"].model)
    return {"network": network(gan.averaged_generator), "latentDim": gan.latent_dim}


def flow() -> dict:
    """The velocity of codes of digits."""
    model = pretrained(EXPLORERS["flow"].model)
    return {"network": network(model.network), "latentDim": model.network.output_shape[-1]}


@functools.cache
def decoder_of_codes():
    """Standardized codes -> images, as a Keras model."""
    decoder = pretrained(OF_CODES).decoder
    codes = json.loads(CODES.read_text(encoding="utf-8"))
    standard = layers.Rescaling(codes["std"], codes["mean"])
    copies = [type(layer).from_config(layer.get_config()) for layer in decoder.layers]
    whole = keras.Sequential([keras.Input(decoder.input_shape[1:]), standard, *copies, layers.Activation("sigmoid")])
    whole.set_weights(decoder.get_weights())
    return whole


def flow_decoder() -> dict:
    return {"network": network(decoder_of_codes())}


def measure_codes() -> None:
    """Write the mean and the standard deviation of the codes of the training images, as chapter 12 computes them."""
    data = load_mnist()
    if data.source != "MNIST":
        raise SystemExit(f"The codes are those of MNIST, but the data are {data.source}: see README on MNIST_PATH.")
    codes = pretrained(OF_CODES).encode(data.train[0])
    found = {"mean": codes.mean(axis=0), "std": codes.std(axis=0)}
    text = {name: [float(f"{value:.7g}") for value in values] for name, values in found.items()}
    CODES.write_text(json.dumps(text, indent=0) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Explorer:
    chapter: str  # on whose page it stands
    call: str  # in the place of the picture of the cell that calls this function of utils.explore, or has this tag
    model: str  # in data/pretrained
    data: Callable[[], dict]


EXPLORERS = {
    "plane": Explorer("06_vae", "explore_plane", "06_vae2", plane),
    "faces": Explorer("07_latent_attributes", "explore_attributes", "07_faces", faces),
    "classes": Explorer("10_cgan", "explore_classes", "10_cgan", classes),
    "flow": Explorer("12_flow", "explorer", "12_flow", flow),
}
FILES: dict[str, Callable[[], dict]] = {name: explorer.data for name, explorer in EXPLORERS.items()}
FILES["flow_decoder"] = flow_decoder  # both networks of the flow are more than one file may have


def write(folder: Path) -> None:
    """The files of the explorers, NAME.js. ValueError if one is too large to be loaded by a page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        script = f"explorers.add({json.dumps(name)}, {json.dumps(data())});\n"
        if len(script) > LIMIT:
            raise ValueError(f"{name}.js has {len(script):,} bytes, more than {LIMIT:,}: choose a smaller network.")
        (folder / f"{name}.js").write_text(script, encoding="utf-8")


def playable(notebook: dict, name: str) -> str:
    """Put an explorer in the place of the one still picture that it stands for; its HTML."""
    explorer = EXPLORERS[name]
    call = re.compile(rf"^{explorer.call}\(", re.MULTILINE)
    cells = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and (call.search("".join(cell["source"])) or explorer.call in cell["metadata"].get("tags", []))
    ]
    outputs = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    pictures = [data["image/png"] for data in outputs if "image/png" in data]
    if len(pictures) != 1:
        found = f"{len(pictures)} pictures of cells that call, or are tagged, {explorer.call}"
        raise ValueError(f"{explorer.chapter} has {found}, but one explorer to put in their place.")
    still = "".join(pictures[0]).strip()
    image = f'<img alt="Still picture of this explorer, which needs JavaScript" src="data:image/png;base64,{still}">'
    label = 'role="group" aria-label="Explorer of a trained model"'
    page = f'<div class="explorer" {label} data-explorer="{name}">{image}</div>'
    cells[0]["outputs"] = [{"output_type": "display_data", "data": {"text/html": page}, "metadata": {}}]
    return page


if __name__ == "__main__":
    measure_codes()
