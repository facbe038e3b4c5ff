"""One-off: write the new recipes into the records of data/pretrained and data/studies, where what the old ones say still fits."""

import json, os, sys, time, linecache

ROOT = os.environ.get("ROOT", os.getcwd())
os.environ.update(COURSE_MODE="standard", MNIST_PATH=os.environ["MNIST_PATH"])
sys.path.insert(0, ROOT)
import matplotlib

matplotlib.use("Agg")
from utils.course import session, pretrained, studies, training
import nbformat, numpy as np, keras, types
from utils.course.fingerprint import differences

P, S = pretrained.PRETRAINED, studies.STUDIES
seen = set()
changed = []


def load_same(model, name, recipe, with_snapshots):
    record = pretrained._record(name)
    old = record["recipe"]
    recipe = json.loads(json.dumps(recipe))
    both = {k: recipe.get(k) for k in old if k not in ("examples", "validation", "starts_from")}
    mine = {k: v for k, v in old.items() if k in both}
    d = differences(mine, both)
    # NoisyPairs carry the batch size now
    if d:
        print("!! DIFFERS", name, d, file=sys.stderr)
    else:
        raw = json.loads((P / f"{name}.json").read_text())
        if ("val_loss" in raw["history"]) != recipe["validation"]:
            print("!! validation?", name, file=sys.stderr)
        if raw["recipe"] != recipe:
            raw["recipe"] = recipe
            (P / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")
            changed.append(name)
    seen.add(name)
    record["recipe"] = recipe
    return pretrained._load(model, name, record)


training.load_same = load_same


def sload(name, recipe):
    raw = json.loads((S / f"{name}.json").read_text())
    seen.add(name)
    if raw.get("recipe") != recipe:
        new = {"recipe": recipe, **{k: v for k, v in raw.items() if k not in ("settings", "recipe")}}
        if "settings" in raw:
            print(
                "STUDY",
                name,
                "settings",
                json.dumps(raw["settings"])[:300],
                "\n   -> ",
                list(recipe["arguments"]),
                file=sys.stderr,
            )
        (S / f"{name}.json").write_text(json.dumps(new, indent=1) + "\n")
        changed.append(name)
    return raw["outcome"]


studies._load = sload


def fast_predict(self, x, **kw):
    n = len(x[0]) if isinstance(x, list) else len(x)
    one = lambda s: np.random.rand(n, *s[1:]).astype("float32")
    shapes = self.output_shape
    return one(shapes) if shapes[0] is None else [one(s) for s in shapes]


keras.Model.predict = fast_predict


def fit(self, *a, callbacks=(), **k):
    for c in callbacks:
        if type(c).__name__ == "AfterEpoch":
            c.set_model(self)
            c.on_train_begin()
            c.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0, "d_loss": 1.0, "g_loss": 1.0, "accuracy": 0.5})
    return types.SimpleNamespace(history={"loss": [1.0]})


keras.Model.fit = fit
keras.Model.evaluate = lambda self, *a, **k: (
    {"loss": 1.0, "kl_loss": 1.0, "reconstruction_loss": 1.0} if k.get("return_dict") else [1.0, 1.0]
)
from utils import autoencoders, gan

autoencoders.EncoderDecoder.fit = fit
autoencoders.EncoderDecoder.evaluate = keras.Model.evaluate
gan.Adversaries.fit = fit
import sklearn.linear_model, sklearn.manifold, sklearn.mixture, sklearn.neighbors, sklearn.svm


def refuse(self, *a, **k):
    raise RuntimeError("skipped")


for c in (
    sklearn.linear_model.LogisticRegression,
    sklearn.linear_model.Ridge,
    sklearn.manifold.TSNE,
    sklearn.mixture.GaussianMixture,
    sklearn.svm.SVC,
    sklearn.neighbors.NearestNeighbors,
    sklearn.neighbors.KNeighborsClassifier,
):
    c.fit = refuse
    c.fit_transform = refuse
main = sys.modules["__main__"]
for path in sys.argv[1:]:
    os.chdir(os.path.dirname(os.path.abspath(path)))
    t = time.time()
    names = {"__name__": "__main__"}
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    if len(sys.argv) > 2:
        raise SystemExit("one notebook at a time")
    for i, source in enumerate(cells):
        fn = f"<cell {i}>"
        linecache.cache[fn] = (len(source), None, [l + "\n" for l in source.splitlines()], fn)
        try:
            exec(compile(source, fn, "exec"), main.__dict__)
        except BaseException as e:
            print(f"   [{i}] {type(e).__name__}: {str(e)[:160]}", file=sys.stderr)
    print(
        os.path.basename(path), f"{time.time() - t:.0f} s; seen {len(seen)}, rewritten {len(changed)}", file=sys.stderr
    )
    json.dump(
        sorted(seen),
        open(f"seen_{os.path.basename(os.path.dirname(os.path.abspath(path)))}_{os.path.basename(path)}.json", "w"),
    )
