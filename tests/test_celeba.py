import ast

import nbformat
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.course.session import COURSE, session
from utils.drawn.celeba import CELEBA_URL, load_celeba
from utils.drawn.faces import draw_faces

NAMES = [f"{i:06d}.jpg" for i in range(1, 11)]
ATTRIBUTES = ("Blond_Hair", "Eyeglasses", "Smiling")


@pytest.fixture
def celeba(tmp_path):
    """Ten images in CelebA's layout: 6 for training, 2 for validation, 2 for test. The middle is red, the rest blue."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[..., 2] = 255
    picture[35:183, 15:163] = (255, 0, 0)
    rows = []
    for i, name in enumerate(NAMES):
        Image.fromarray(picture).save(folder / "img_align_celeba" / name, quality=95, subsampling=0)
        rows.append(f"{name} " + " ".join(f"{1 if i >> bit & 1 else -1:2d}" for bit in range(3)))
    header = f"10\n{' '.join(ATTRIBUTES)} \n"  # with the trailing blank of the official file
    (folder / "list_attr_celeba.txt").write_text(header + "\n".join(rows) + "\n")
    splits = [f"{name} {split}" for name, split in zip(NAMES, "0000001122", strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")
    return folder


def test_celeba_is_cropped_scaled_and_split(celeba):
    data = load_celeba(str(celeba))
    assert data.names == ATTRIBUTES
    assert [len(part) for part in (data.train, data.validation, data.test)] == [6, 2, 2]
    images, attributes = next(iter(data.train.batch(6)))
    assert images.shape == (6, 64, 64, 3) and images.dtype == attributes.dtype == tf.float32
    assert attributes.numpy().tolist() == [[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(6)]
    assert next(iter(data.validation))[1].numpy().tolist() == [0, 1, 1]
    np.testing.assert_allclose(images[:, 1:-1, 1:-1], np.broadcast_to([1, 0, 0], (6, 62, 62, 3)), atol=0.02)
    assert images.numpy().min() >= 0 and images.numpy().max() <= 1


def test_a_smaller_image_gives_its_largest_square(celeba):
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60] = 255
    Image.fromarray(picture).save(celeba / "img_align_celeba" / NAMES[0], quality=95)
    image, _ = next(iter(load_celeba(celeba).train))
    assert image.shape == (64, 64, 3) and image.numpy().min() > 0.9


@pytest.mark.parametrize(
    "damage", [lambda payload: b"not a picture", lambda payload: payload[:700], lambda payload: b""]
)
def test_an_image_is_read_when_asked_for_and_named_if_it_is_damaged(celeba, damage):
    path = celeba / "img_align_celeba" / NAMES[2]
    path.write_bytes(damage(path.read_bytes()))
    train = iter(load_celeba(celeba).train)
    next(train), next(train)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{path} is not a JPEG image"):
        next(train)


def replace(file, old, new):
    def damage(folder):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return damage


def rename(name):
    return lambda folder: (folder / name).rename(folder / "elsewhere")


LIST, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: folder.rename(folder.with_name("b")), FileNotFoundError, "no .*/celeba: give the folder that"),
        (rename("img_align_celeba"), FileNotFoundError, "no .*/img_align_celeba: give the folder that contains"),
        (rename(LIST), FileNotFoundError, f"no .*{LIST}: give"),
        (rename(PARTITION), FileNotFoundError, f"no .*{PARTITION}: give"),
        (replace(LIST, "10\n", "12\n"), ValueError, f"{LIST} lists 10 images, but its line 1 says '12'"),
        (replace(LIST, "10\n", "ten\n"), ValueError, f"{LIST} lists 10 images, but its line 1 says 'ten'"),
        (replace(LIST, "000004.jpg  1", "000004.jpg  0"), ValueError, f"{LIST}, line 6: '000004.jpg  0.*3 values"),
        (
            replace(LIST, "000004.jpg  1", "000004.jpg"),
            ValueError,
            f"{LIST}, line 6: '000004.jpg.*3 values, each",
        ),
        (
            replace(LIST, "000004.jpg", "000003.jpg"),
            ValueError,
            f"{LIST}, line 6: '000003.jpg.*a new file name",
        ),
        (replace(LIST, "Smiling", ""), ValueError, f"{LIST}, line 3: .*2 values"),
        (replace(PARTITION, "000004.jpg 0", "000004.jpg 3"), ValueError, f"{PARTITION}, line 4: .*one of 0, 1, 2"),
        (replace(PARTITION, "000004.jpg 0\n", "\n"), ValueError, f"{PARTITION}, line 4: ''"),
        (
            replace(PARTITION, "000004.jpg 0\n", ""),
            ValueError,
            rf"{LIST} .*{PARTITION} \(1, starting with 000004",
        ),
        (
            replace(PARTITION, "000004", "000014"),
            ValueError,
            rf"{LIST} .*{PARTITION} \(1, starting with 000004",
        ),
        (
            replace(PARTITION, "10.jpg 2\n", "10.jpg 2\nx 0"),
            ValueError,
            rf"{PARTITION} .*{LIST} \(1, starting with x\)",
        ),
        (replace(PARTITION, "jpg 1", "jpg 0"), ValueError, f"{PARTITION} has no image for the validation part"),
        (
            rename("img_align_celeba/000007.jpg"),
            FileNotFoundError,
            rf"{LIST} .*celeba \(1, starting with 000007",
        ),
        (lambda folder: (folder / LIST).write_bytes(b""), ValueError, f"{LIST} is empty"),
        (lambda folder: (folder / PARTITION).write_text("\n \n"), ValueError, f"{PARTITION} is empty"),
        (lambda folder: (folder / LIST).write_bytes(b"\xff\xd8\xff"), ValueError, f"{LIST} is not a text file"),
        (lambda folder: (folder / LIST).write_text("0"), ValueError, f"{PARTITION} lists images that are not in"),
    ],
)
def test_a_damaged_celeba_is_explained(celeba, damage, error, message):
    damage(celeba)
    with pytest.raises(error, match=message) as caught:
        load_celeba(celeba)
    assert CELEBA_URL in str(caught.value)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.binary(max_size=300) | st.text(max_size=100).map(str.encode), which=st.sampled_from([LIST, PARTITION])
)
def test_any_bytes_as_a_list_are_answered_with_what_to_do(payload, which, tmp_path):
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    (folder / LIST).write_text("1\nSmiling\n000001.jpg 1\n")
    (folder / PARTITION).write_text("000001.jpg 0\n")
    (folder / which).write_bytes(payload)
    with pytest.raises((ValueError, FileNotFoundError), match=CELEBA_URL):
        load_celeba(folder)
    assert (folder / which).read_bytes() == payload


def test_chapter_07_shows_its_figures_for_a_folder_in_this_layout(tmp_path, monkeypatch):
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    images, factors = draw_faces(60)
    rows, splits = [], []
    for i, image in enumerate(images):
        picture = np.full((218, 178, 3), 200, np.uint8)
        picture[35:183, 15:163] = Image.fromarray(image).resize((148, 148))
        Image.fromarray(picture).save(folder / "img_align_celeba" / f"{i}.jpg", quality=95)
        values = factors["hair_color"][i] > 0.5, factors["sunglasses"][i] > 0.5, factors["smile"][i] > 0
        rows.append(f"{i}.jpg " + " ".join("1" if value else "-1" for value in values))
        splits.append(f"{i}.jpg {i // 20}")
    (folder / LIST).write_text(f"60\n{' '.join(ATTRIBUTES)} \n" + "\n".join(rows))
    (folder / PARTITION).write_text("\n".join(splits))
    cells = nbformat.read(COURSE / "notebooks" / "07_latent_attributes.ipynb", 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code" and "!{pip}" not in cell.source)
    functions = (
        "arrays convolution encoder decoder trained_vae trained_reader read moved changes celeba_figures".split()
    )
    constants = ("BATCH_SIZE", "LATENT_DIM", "EPOCHS", "READER_EPOCHS")
    kept = [node for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.parse(code).body:
        name = ast.unparse(getattr(node, "targets", [ast.Pass()])[0]).strip("()").split(",")[0]
        if getattr(node, "name", None) in functions or name in constants:
            kept.append(node)
    monkeypatch.setattr(session, "mode", "quick")
    shown = []
    names = {"reader": None, "slider": np.linspace(0, 1, 3), "display": shown.append}
    exec(compile(ast.Module(kept, []), "chapter 07", "exec"), names)
    names["celeba_figures"](folder)
    assert [len(figure.axes) % 3 for figure in shown[::2]] == [0, 0]  # rows of three positions
    for table, name in zip(shown[1::2], ("Blond_Hair", "Eyeglasses"), strict=True):
        assert list(table) == [name] and len(table) == 3 and np.isfinite(table).all(axis=None)
