"""From judgements to one verdict an image: the three rules, repeats, adjudication and faults."""

from __future__ import annotations

import itertools

import pytest

from tenfold.review.consensus import Consensus, Rule, common_answer, consensus_table, decide
from tenfold.review.records import Verdict
from tests.review_workspace import judgement, made_up_items

ITEM = made_up_items(1)[0]


def _verdict(rule: Rule, *verdicts: Verdict, word: Verdict | None = None) -> Consensus:
    given = [judgement(ITEM.image_id, verdict, f"reader {n}") for n, verdict in enumerate(verdicts)]
    if word is not None:
        given.append(judgement(ITEM.image_id, word, "judge", "adjudication"))
    return decide([ITEM], given, rule)[0]


@pytest.mark.parametrize(
    ("verdicts", "any_reject", "majority", "adjudicated"),
    [
        ((), "unreviewed", "unreviewed", "unreviewed"),
        (("accept",), "accepted", "accepted", "accepted"),
        (("reject",), "rejected", "rejected", "rejected"),
        (("accept", "reject"), "rejected", "rejected", "unreviewed"),
        (("accept", "accept", "reject"), "rejected", "accepted", "unreviewed"),
        (("accept", "reject", "reject"), "rejected", "rejected", "unreviewed"),
        (("accept", "accept"), "accepted", "accepted", "accepted"),
    ],
)
def test_rules(verdicts: tuple[Verdict, ...], any_reject: str, majority: str, adjudicated: str) -> None:
    for order in set(itertools.permutations(verdicts)):
        assert _verdict("any_reject", *order).verdict == any_reject
        assert _verdict("majority", *order).verdict == majority
        assert _verdict("adjudicated", *order).verdict == adjudicated


def test_an_adjudicators_word_counts_by_that_rule_alone() -> None:
    accepted = _verdict("adjudicated", "accept", "reject", word="accept")
    assert accepted.verdict == "accepted" and accepted.is_adjudicated and accepted.is_disputed
    assert _verdict("adjudicated", "accept", "reject", word="reject").verdict == "rejected"
    assert _verdict("any_reject", "accept", "reject", word="accept").verdict == "rejected"
    assert (accepted.n_reviewers, accepted.n_accept, accepted.n_reject) == (2, 1, 1)


def test_a_word_from_a_dispute_that_is_over_overrides_nobody() -> None:
    """The adjudicator rejected while the reviewers differed; then the one who had rejected took it back."""
    agreed = _verdict("adjudicated", "accept", "accept", word="reject")
    assert (agreed.verdict, agreed.is_adjudicated, agreed.is_kept_out, agreed.reasons) == ("accepted", False, False, ())


def test_a_second_look_tells_of_the_reviewer_not_of_the_image() -> None:
    given = [judgement(ITEM.image_id, "accept"), judgement(ITEM.image_id, "reject", kind="repeat")]
    rules: tuple[Rule, ...] = ("majority", "adjudicated")
    for rule in rules:
        found = decide([ITEM], given, rule)[0]
        assert (found.verdict, found.n_reviewers, found.is_disputed) == ("accepted", 1, False)


def test_by_any_reject_a_rejection_at_a_second_look_rejects() -> None:
    given = [
        judgement(ITEM.image_id, "accept"),
        judgement(ITEM.image_id, "accept", "bob"),
        judgement(ITEM.image_id, "reject", kind="repeat", reasons=("poor_quality",)),
    ]
    found = decide([ITEM], given, "any_reject")[0]
    assert (found.verdict, found.n_accept, found.n_reject, found.reasons) == ("rejected", 1, 1, ("poor_quality",))
    assert not found.is_disputed and found.is_kept_out
    other_way = [judgement(ITEM.image_id, "reject"), judgement(ITEM.image_id, "accept", kind="repeat")]
    assert decide([ITEM], other_way, "any_reject")[0].verdict == "rejected"


def test_what_cannot_be_shown_is_kept_out_and_nobodys_rejection() -> None:
    found = decide([ITEM], [judgement(ITEM.image_id, "accept")], "any_reject", {ITEM.image_id})[0]
    assert (found.verdict, found.is_faulty, found.is_kept_out) == ("unreviewed", True, True)
    found = decide([ITEM], [judgement(ITEM.image_id, "reject")], "any_reject", {ITEM.image_id})[0]
    assert (found.verdict, found.is_faulty, found.is_kept_out) == ("rejected", True, True)


def test_what_nobody_settled_is_kept_out_and_what_nobody_saw_is_not() -> None:
    assert _verdict("adjudicated", "accept", "reject").is_kept_out
    assert not _verdict("adjudicated").is_kept_out and not _verdict("adjudicated", "accept").is_kept_out
    anew = decide([ITEM], [], "majority", rejected_before={ITEM.image_id})[0]
    assert (anew.verdict, anew.is_kept_out) == ("unreviewed", True)
    judged = decide([ITEM], [judgement(ITEM.image_id)], "majority", rejected_before={ITEM.image_id})[0]
    assert (judged.verdict, judged.is_kept_out) == ("accepted", False)


def test_real_images_get_no_verdict() -> None:
    real = made_up_items(2, source="real")
    given = [judgement(real[0].image_id, "reject")]
    assert [one.image_id for one in decide([ITEM, *real], given, "any_reject")] == [ITEM.image_id]


def test_reasons_are_those_for_rejecting() -> None:
    given = [
        judgement(ITEM.image_id, "accept", "ann", reasons=("poor_quality",)),
        judgement(ITEM.image_id, "reject", "bob", reasons=("wrong_condition",)),
    ]
    found = decide([ITEM], given, "any_reject")
    assert found[0].reasons == ("wrong_condition",)
    table = consensus_table(found)
    assert table.loc[0, "reasons"] == '["wrong_condition"]' and bool(table.loc[0, "is_disputed"])


def test_the_common_answer() -> None:
    def said(*answers: str | None) -> str | None:
        return common_answer(
            [judgement("a", reviewer=str(n), answers={"severity": a}) for n, a in enumerate(answers)], "severity"
        )

    assert said("mild", "mild", "severe") == "mild"
    assert said("mild", "severe") is None and said(None) is None and said() is None
    word = judgement("a", reviewer="judge", kind="adjudication", answers={"severity": "moderate"})
    others = [judgement("a", reviewer=name, answers={"severity": "mild"}) for name in "xyz"]
    assert common_answer([*others, word], "severity") == "moderate"
