"""What a public host reads: workflows, issue forms, the container for development, the citation."""

import json
import re

import pytest
import yaml

from utils.course.session import COURSE

GITHUB = COURSE / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("a_*.yml"))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def targets():
    return set(re.findall(r"^([\w./-]+):", (COURSE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", sorted((GITHUB / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_a_workflow_calls_only_targets_that_exist(path):
    for job in read(path)["jobs"].values():
        for step in job["steps"]:
            for called in re.findall(r"^make (.*)", step.get("run", ""), re.MULTILINE):
                assert set(called.split()) <= targets(), called


def test_the_workflow_that_stamps_runs_on_the_default_branch_only_and_may_push():
    workflow = read(GITHUB / "workflows" / "colab.yml")
    (job,) = workflow["jobs"].values()
    assert "github.ref_name == github.event.repository.default_branch" in job["if"]
    assert workflow["permissions"] == {"contents": "write"}
    assert 'python3 -m tools.colab --keep "$GITHUB_REPOSITORY" "$GITHUB_REF_NAME"' in job["steps"][-1]["run"]


def test_the_public_workflow_looks_at_the_site_in_a_browser():
    steps = [
        step.get("run") for job in read(GITHUB / "workflows" / "test.yml")["jobs"].values() for step in job["steps"]
    ]
    assert "make site-test" in steps


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_the_host_asks_for(path):
    form = read(path)
    assert form["name"] and form["description"]
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names) and all(field["attributes"]["label"] for field in form["body"])
    assert {field["type"] for field in form["body"]} <= {"input", "textarea", "dropdown"}


def test_there_are_forms_for_a_cell_and_for_a_sentence():
    assert {read(path)["name"] for path in FORMS} == {"A cell fails", "A sentence is unclear"}


def test_dependabot_looks_after_actions_and_packages():
    settings = read(GITHUB / "dependabot.yml")
    assert {update["package-ecosystem"] for update in settings["updates"]} == {"github-actions", "pip"}


def test_the_container_opens_with_the_set_up_done_on_a_python_that_works():
    container = json.loads((COURSE / ".devcontainer" / "devcontainer.json").read_bytes())
    assert container["updateContentCommand"].removeprefix("make ") in targets()
    project = (COURSE / "pyproject.toml").read_text(encoding="utf-8")
    least, below = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert int(least) <= int(re.search(r"python:3\.(\d+)$", container["image"])[1]) < int(below)
    for name in container["customizations"]["codespaces"]["openFiles"]:
        assert (COURSE / name).is_file()


def test_the_citation_names_the_version_and_the_licenses():
    citation = read(COURSE / "CITATION.cff")
    project = (COURSE / "pyproject.toml").read_text(encoding="utf-8")
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["message"]
    assert f'version = "{citation["version"]}"' in project
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
