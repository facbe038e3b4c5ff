"""The front page of the site, and the figures of notebooks, without a browser and without Sphinx."""

import base64
import json
import re

import nbformat
import pytest
from PIL import Image

from tools import chapters, front
from tools.figures import figures, thumbnail
from utils.course.session import COURSE

PIXEL = base64.b64encode(b"a picture").decode()


def cell(pictures=1, **metadata):
    outputs = [nbformat.v4.new_output("display_data", {"image/png": PIXEL}) for _ in range(pictures)]
    return nbformat.v4.new_code_cell("plot()", outputs=outputs, metadata=metadata)


def test_a_cell_gives_each_of_its_pictures_a_text():
    cells = [cell(0), cell(alt="one"), cell(2, alt=["two", "three"]), cell(), nbformat.v4.new_markdown_cell("text")]
    found = figures(nbformat.v4.new_notebook(cells=cells))
    assert [figure.alt for figure in found] == ["one", "two", "three", ""]
    assert found[0].png == b"a picture" and found[0].cell is cells[1]


@pytest.mark.parametrize("metadata", [{"alt": "one"}, {"alt": ["one", "two", "three"]}])
def test_another_number_of_texts_than_of_pictures_is_an_error(metadata):
    with pytest.raises(ValueError, match="2 pictures and"):
        figures(nbformat.v4.new_notebook(cells=[cell(2, **metadata)]))


def test_the_thumbnail_is_the_tagged_picture_or_the_first():
    plain = [cell(alt="first"), cell(alt="second")]
    assert thumbnail(nbformat.v4.new_notebook(cells=plain)).alt == "first"
    tagged = [*plain, cell(2, alt=["third", "fourth"], tags=["thumbnail"])]
    assert thumbnail(nbformat.v4.new_notebook(cells=tagged)).alt == "third"


def test_the_front_page_begins_as_readme_does_and_has_a_card_for_each_chapter():
    page = front.front_page({"Open in Colab": "https://example.org/open"})
    assert "make run " in page and "![" in page and "<!-- colab" not in page
    assert page.index('<a href="https://example.org/open">Open in Colab</a>') < page.index("](data/gallery.png)")
    for path in chapters():
        found = re.search(rf'<h3><a href="{path.stem}.html">{path.stem[:2]} · .*</a></h3>\n<p>(.*)</p>\n(.*)', page)
        assert 30 < len(found[1]) < 250 and found[1][-1] in ".?!", found[1]
        assert re.search(r"[\d.]+ minutes? on two CPU cores", found[2])


def test_its_figures_are_those_of_the_record():
    everything = json.loads((COURSE / "data" / "results.json").read_bytes())
    lines = front.table(everything)[2:]
    assert len(lines) == 5
    for line, (chapter, name, what) in zip(lines, front.FIGURES, strict=True):
        entry = everything[chapter][name]
        assert f"[{what}]({chapter}.ipynb)" in line and f"**{entry['value']:.4g}**" in line
        assert f"{entry['reference']:.4g}: {entry['source']}" in line
    del everything["06_vae"]["vae_nll_dynamic"]["reference"]
    with pytest.raises(ValueError, match="no figure 'vae_nll_dynamic' with a reference in chapter '06_vae'"):
        front.table(everything)


def test_a_readme_of_another_form_is_refused(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("# Title\n\nText without gallery.\n", encoding="utf-8")
    monkeypatch.setattr(front, "COURSE", tmp_path)
    with pytest.raises(ValueError, match="README does not begin with"):
        front.front_page({})


def test_thumbnails_are_small_and_no_wider_than_twice_their_height(tmp_path):
    front.write_thumbnails(tmp_path / "cards")
    for path in chapters():
        with Image.open(tmp_path / "cards" / f"{path.stem}.png") as picture:
            assert picture.width <= 2 * picture.height + 2
        assert (tmp_path / "cards" / f"{path.stem}.png").stat().st_size < 100_000
