"""Models train in half precision, although the course uses float32 and only measures half precision (chapter 11)."""

import keras
import numpy as np
import pytest
import zoo


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def half(request):
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", zoo.BUILDERS)
def test_a_model_trains_in_half_precision(name, half):
    model = zoo.build(name)
    history = model.fit(**zoo.lessons(name), epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all()
