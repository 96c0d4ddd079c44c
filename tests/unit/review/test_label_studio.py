"""Label Studio's tasks and the labeling interface that they fit."""

from __future__ import annotations

from xml.etree import ElementTree

from tenfold.review.consensus import decide
from tenfold.review.label_studio import label_studio_config, label_studio_tasks
from tenfold.review.rubric import load_rubric
from tests.review_workspace import judgement, made_up_items

ANSWERS = {"accurate": True, "condition": "mole", "severity": "mild", "realism": 4, "artifacts": ["blur", "color"]}
KINDS = {"Choices": "choices", "Rating": "rating", "TextArea": "textarea"}


def test_every_result_fits_the_interface() -> None:
    """Each has a control of its name and kind, and its choices are among those offered."""
    items = made_up_items(2)
    given = [judgement(items[0].image_id, "reject", answers=ANSWERS, reasons=("other",), comment="<odd> & small")]
    [task] = label_studio_tasks(items, given, decide(items, given, "any_reject"))
    interface = ElementTree.fromstring(label_studio_config(load_rubric(), ["mole", "rash & more"]))
    controls = {tag.get("name"): tag for tag in interface if tag.tag in KINDS}
    results = {result["from_name"]: result for result in task["annotations"][0]["result"]}
    assert set(results) == {"verdict", "reasons", "comment", *ANSWERS}
    for name, result in results.items():
        assert KINDS[controls[name].tag] == result["type"], name
        offered = {choice.get("value") for choice in controls[name]}
        assert set(result["value"].get("choices", ())) <= offered, name
    assert results["realism"]["value"] == {"rating": 4} and controls["realism"].get("maxRating") == "5"
    assert controls["artifacts"].get("choice") == "multiple" and controls["condition"].get("choice") == "single-radio"
    assert {choice.get("value") for choice in controls["condition"]} == {"mole", "rash & more"}
