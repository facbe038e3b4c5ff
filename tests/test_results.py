import json

import pytest

from utils.course import results
from utils.course.session import session

NOTEBOOK = "01_autoencoder"
FIGURES = {
    "figure": (2.123456, "% of pixels", "lower", 3.0, "Fréchet 1906"),
    "second": (7, "dB", "higher"),
}


def record(**figures):
    results.table(NOTEBOOK, figures or FIGURES, headline=next(iter(figures or FIGURES)))


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: tables and their metadata."""
    shown = []
    monkeypatch.setattr(results, "display", lambda what, metadata: shown.append((what, metadata)))
    return shown


def test_figures_are_recorded_in_retrain_mode_on_real_data(retraining, shown):
    record()
    saved = json.loads(results.RESULTS.read_bytes())
    assert saved[NOTEBOOK] == {
        "figure": {
            "value": 2.1235,
            "unit": "% of pixels",
            "better": "lower",
            "reference": 3.0,
            "source": "Fréchet 1906",
        },
        "second": {"value": 7.0, "unit": "dB", "better": "higher"},
    }
    assert set(saved["environment"]) == {"python", "tensorflow", "keras", "cores", "gpus"}
    assert results.load() == saved


@pytest.mark.parametrize(
    ("mode", "dataset"), [("standard", "MNIST"), ("quick", "MNIST"), ("retrain", "stand-in digits")]
)
def test_not_written_otherwise(mode, dataset, shown):
    session.mode, session.dataset = mode, dataset
    record()
    assert not results.RESULTS.exists() and len(shown) == 1


def test_other_notebooks_keep_their_figures_and_this_one_only_those_it_measures(retraining, shown):
    results.RESULTS.write_text('{"09_dcgan": {"fid": {"value": 1}}, "01_autoencoder": {"renamed": {"value": 1}}}')
    record()
    assert set(results.load()) == {"09_dcgan", NOTEBOOK, "environment"}
    assert list(results.load()[NOTEBOOK]) == ["figure", "second"]
    assert results.load()["09_dcgan"] == {"fid": {"value": 1}}


def test_a_figure_that_is_none_leaves_the_earlier_ones(retraining, shown):
    record()
    before = results.RESULTS.read_bytes()
    with pytest.raises(ValueError, match="second is inf"):
        record(figure=FIGURES["figure"], second=(float("inf"), "dB", "higher"))
    assert results.RESULTS.read_bytes() == before and len(shown) == 1


def test_a_damaged_file_is_named_and_kept(retraining, shown):
    results.RESULTS.write_text("{")
    with pytest.raises(ValueError, match=r"data/results.json is not JSON.*restore it"):
        record()
    assert results.RESULTS.read_text() == "{"


def test_figures_are_not_lost_where_the_file_cannot_be_written(retraining, shown, monkeypatch, tmp_path, capsys):
    (tmp_path / "data").write_text("a file where the folder should be")  # root ignores permission bits
    monkeypatch.setattr(results, "RESULTS", tmp_path / "data" / "results.json")
    record()
    assert "data/results.json cannot be written" in capsys.readouterr().out
    assert shown[0][1]["figures"] == {"figure": 2.1235, "second": 7.0}


def test_the_table_has_measured_beside_reference(shown, capsys):
    record()
    table, metadata = shown[0]
    assert table.loc["figure"].tolist() == ["2.123", "% of pixels", "lower", "3", "Fréchet 1906"]
    assert table.loc["second"].tolist() == ["7", "dB", "higher", "", ""]
    assert table.columns.tolist() == ["measured", "unit", "better", "reference", "source"]
    assert metadata["headline"] == "figure 2.123" and metadata["comparable"]
    assert "not comparable" not in capsys.readouterr().out
    session.dataset = "stand-in digits"
    record()
    assert "not comparable" in capsys.readouterr().out and not shown[1][1]["comparable"]


def test_a_long_unit_is_shown_in_full(monkeypatch):
    shown, unit = [], "largest relative difference of a weight after an epoch"
    monkeypatch.setattr(results, "display", lambda frame, metadata: shown.append(frame.to_html()))
    results.table("11_scaling", {"difference": (0.5, unit, "lower")}, headline="difference")
    assert unit in shown[0]
