"""The items of CLAIM 2024 and TRIPOD+AI in short, and which of them a run can answer itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tenfold.reports.contents import ChecklistItem

CLAIM: Final = "CLAIM 2024"
TRIPOD: Final = "TRIPOD+AI"

_CLAIM_ITEMS: Final[tuple[str, ...]] = (
    "Identification as a study of AI methodology, with the category of technology",
    "Summary of study design, methods, results and conclusions",
    "Scientific and clinical background, intended use and role of the AI approach",
    "Study aims, objectives and hypotheses",
    "Prospective or retrospective study",
    "Study goal",
    "Data sources",
    "Inclusion and exclusion criteria",
    "Data preprocessing",
    "Selection of data subsets",
    "De-identification methods",
    "How missing data were handled",
    "Image acquisition protocol",
    "Definition of the method used to obtain the reference standard",
    "Rationale for choosing the reference standard",
    "Source of reference standard annotations",
    "Annotation of test set",
    "Inter- and intrarater variability of features described by the annotators",
    "How data were assigned to partitions",
    "Level at which partitions are disjoint",
    "Intended sample size",
    "Detailed description of model",
    "Software libraries, frameworks and packages",
    "Initialization of model parameters",
    "Details of training approach",
    "Method of selecting the final model",
    "Ensembling techniques",
    "Metrics of model performance",
    "Statistical measures of significance and uncertainty",
    "Robustness or sensitivity analysis",
    "Methods for explainability or interpretability",
    "Evaluation on internal data",
    "Testing on external data",
    "Clinical trial registration",
    "Numbers of patients or examinations included and excluded",
    "Demographic and clinical characteristics of cases in each partition",
    "Performance metrics and measures of statistical uncertainty",
    "Estimates of diagnostic performance and their precision",
    "Failure analysis of incorrectly classified cases",
    "Study limitations",
    "Implications for practice, including intended use and clinical role",
    "Reference to the full study protocol or additional technical details",
    "Availability of software, trained model and data",
    "Sources of funding and other support; role of funders",
)

_TRIPOD_ITEMS: Final[Mapping[str, str]] = {
    "1": "Title",
    "2": "Abstract",
    "3a-c": "Background: healthcare context, intended use, health inequalities",
    "4": "Objectives",
    "5a-b": "Data: sources and dates",
    "6a-c": "Participants: setting, eligibility, treatments",
    "7": "Data preparation",
    "8a-c": "Outcome: definition, assessors, blinding",
    "9a-c": "Predictors",
    "10": "Sample size",
    "11": "Missing data",
    "12a-g": "Analytical methods",
    "13": "Class imbalance",
    "14": "Fairness",
    "15": "Model output",
    "16": "Training versus evaluation",
    "17": "Ethical approval",
    "18a": "Funding",
    "18b": "Conflicts of interest",
    "18c": "Protocol",
    "18d": "Registration",
    "18e": "Data sharing",
    "18f": "Code sharing",
    "19": "Patient and public involvement",
    "20a-c": "Participants: flow, characteristics, comparison with development data",
    "21": "Model development: participants and outcome events in each analysis",
    "22": "Model specification",
    "23a": "Model performance with confidence intervals, key subgroups included",
    "23b": "Heterogeneity in model performance across clusters",
    "24": "Model updating",
    "25": "Interpretation",
    "26": "Limitations",
    "27a-c": "Usability of the model in the context of current care",
}

Answers = Mapping[str, tuple[str, str]]
"""Item number -> (answer, anchor of the section that shows it)."""


def fill_checklists(claim: Answers, tripod: Answers) -> tuple[ChecklistItem, ...]:
    """All items of both guidelines in order, with the run's answers where it has one."""
    numbered = {str(number): name for number, name in enumerate(_CLAIM_ITEMS, 1)}
    return tuple(
        ChecklistItem(guideline, number, name, *answers.get(number, (None, None)))
        for guideline, items, answers in ((CLAIM, numbered, claim), (TRIPOD, _TRIPOD_ITEMS, tripod))
        for number, name in items.items()
    )
