"""Continue a training that was cut off: what its next epoch depends on, written after each epoch."""

import contextlib
import inspect
import io
import json
import time

import numpy as np

from utils.base import assign, state_of
from utils.course.fingerprint import differences
from utils.course.records import circumstances, written
from utils.course.session import DATA

CHECKPOINTS = DATA / "checkpoints"


class Checkpoint:
    """State of a compiled model and history of its training, in data/checkpoints/NAME.npz; only one worker `writes`."""

    def __init__(self, name: str, model, recipe: dict, snapshots=False, writes=True):
        self.path, self._writes, self._variables = CHECKPOINTS / f"{name}.npz", writes, state_of(model)
        # Of the package's classes; that of a notebook's class is in the recipe, because its name alone says nothing.
        code = [inspect.getsource(kind) for kind in type(model).__mro__ if kind.__module__.startswith("utils.")]
        belongs_to = recipe | {"code of the model": code, "snapshots": snapshots, **circumstances()}
        self._belongs_to = json.loads(json.dumps(belongs_to))

    def save(self, history: dict, seconds: float, snapshots: list) -> bool:
        """Write the state after an epoch, whole or not at all; False, and a line says so, if that is not possible."""
        record = json.dumps({"belongs_to": self._belongs_to, "history": history, "seconds": seconds})
        arrays, buffer = [variable.numpy() for variable in self._variables], io.BytesIO()
        np.savez(buffer, *arrays, record=record, snapshots=np.array(snapshots))
        return not self._writes or written(self.path, buffer.getvalue(), "training goes on without checkpoints")

    def resume(self) -> tuple[dict, float, list]:
        """Bring the model to where it was; return history, seconds and snapshots, which are empty at the start.

        A checkpoint that is damaged or of another training changes nothing: it is set aside, and a line says so.
        """
        name, nothing = self.path.stem, ({}, 0.0, [])
        if not self.path.is_file():
            return nothing
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = dict(file)
            record, snapshots = json.loads(str(arrays.pop("record"))), list(arrays.pop("snapshots"))
            differing = differences(record["belongs_to"], self._belongs_to)
            fault = f"it belongs to another training ({', '.join(differing)})" if differing else ""
        except Exception as error:  # damaged bytes may raise anything
            fault = f"it is damaged ({type(error).__name__})"
        if fault:
            print(f"{name}: a checkpoint of this training cannot be used: {fault}.")
            with contextlib.suppress(OSError):  # another worker has set it aside, or the folder cannot be written
                aside = self.path.rename(self.path.with_name(f"{name}.aside-{time.time_ns()}.npz"))
                print(f"{name}: it is set aside as {aside.name} in data/checkpoints.")
            return nothing
        assign(self._variables, arrays.values())
        history = record["history"]
        print(f"{name}: continues after epoch {len(next(iter(history.values())))}, where it was cut off.")
        return history, record["seconds"], snapshots

    def remove(self) -> None:
        if self._writes:
            with contextlib.suppress(OSError):
                self.path.unlink()
