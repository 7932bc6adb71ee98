"""Schemathesis against the OpenAPI document: whatever is asked, the answer is one that the document knows."""

from __future__ import annotations

import itertools

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from clustercheck.verdict import Policy
from clustercheck.web import create_app
from tests.clustercheck.test_web import STATES

load_all_checks()
_turns = itertools.cycle(STATES.values())
_schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(lambda: next(_turns), Policy()))


@pytest.mark.filterwarnings("ignore")
@_schema.parametrize()
@hypothesis.settings(max_examples=20, deadline=None)
def test_no_answer_is_a_surprise(case: schemathesis.Case) -> None:
    answer = case.call()
    assert "Traceback" not in answer.text
    case.validate_response(
        answer, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
    )
