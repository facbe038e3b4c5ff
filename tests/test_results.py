import json

import pytest

from utils import results, runtime


def record(value=2.5, **more):
    options = {"unit": "%", "better": "lower", "reference": 3.0, "source": "Somebody 2006"} | more
    results.record("01_autoencoder", "figure", value, **options)


def test_recorded_in_retrain_mode_on_real_data():
    runtime.session.mode, runtime.session.dataset = "retrain", "MNIST"
    record(2.123456)
    record(2.654321)
    saved = json.loads(results.RESULTS.read_bytes())
    assert saved["01_autoencoder"]["figure"] == {
        "value": 2.6543,
        "unit": "%",
        "better": "lower",
        "reference": 3.0,
        "source": "Somebody 2006",
    }
    assert set(saved["environment"]) == {"python", "tensorflow", "keras", "cores", "gpus"}


@pytest.mark.parametrize(
    ("mode", "dataset"), [("standard", "MNIST"), ("quick", "MNIST"), ("retrain", "stand-in digits")]
)
def test_not_written_otherwise(mode, dataset):
    runtime.session.mode, runtime.session.dataset = mode, dataset
    record()
    assert not results.RESULTS.exists()


def test_other_notebooks_keep_their_figures_and_this_one_only_those_it_measures():
    runtime.session.mode = "retrain"
    results.RESULTS.write_text('{"09_dcgan": {"fid": {"value": 1}}, "01_autoencoder": {"renamed": {"value": 1}}}')
    record()
    assert set(results.load()) == {"09_dcgan", "01_autoencoder", "environment"}
    assert set(results.load()["01_autoencoder"]) == {"figure"}


def test_a_damaged_file_is_named_and_kept():
    runtime.session.mode = "retrain"
    results.RESULTS.write_text("{")
    with pytest.raises(ValueError, match=r"data/results.json is not JSON.*restore it"):
        record()
    assert results.RESULTS.read_text() == "{"


def test_the_table_has_measured_beside_reference(monkeypatch):
    shown = []
    monkeypatch.setattr(results, "display", lambda what, metadata: shown.append((what.data, metadata)))
    record()
    results.record("01_autoencoder", "second", 7, unit="dB", better="higher")
    results.table("01_autoencoder", headline="figure")
    text, metadata = shown[0]
    assert "| `figure` | **2.5** | % | lower | 3 | Somebody 2006 |" in text
    assert "| `second` | **7** | dB | higher |  |  |" in text
    assert metadata == {"headline": "figure 2.5", "comparable": True}
    assert "not comparable" not in text
    runtime.session.dataset = "stand-in digits"
    results.table("01_autoencoder", headline="figure")
    assert "not comparable" in shown[1][0]
