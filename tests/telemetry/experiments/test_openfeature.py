"""The real OpenFeature client asks our provider for arms."""

from collections.abc import Iterator

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from fimble.events import Unit
from fimble.experiments import Assigner
from telemetry.experiments.openfeature import ExperimentProvider
from tests.stand_ins.hand_clock import HandClock
from tests.telemetry.experiments.registrations import experiment

NOW_MS = experiment().start_ms + 1


@pytest.fixture
def client() -> Iterator[OpenFeatureClient]:
    provider = ExperimentProvider([experiment()], clock=HandClock(NOW_MS))
    api.set_provider(provider, "tests")
    yield api.get_client("tests")
    api.clear_providers()


def test_the_arm_is_the_one_that_the_server_draws(client: OpenFeatureClient) -> None:
    arms = set()
    for number in range(30):
        user = f"user-{number} 🙂"
        (drawn,) = Assigner([experiment()], user_id=user).assign(request_id="", now_ms=NOW_MS)
        context = EvaluationContext(targeting_key=user)
        found = client.get_string_details("longer", "none", context)
        assert (found.value, found.variant, found.reason) == (drawn.arm, drawn.arm, Reason.SPLIT)
        assert found.flag_metadata == {"bucket": drawn.bucket, "propensity": 0.5}
        assert client.get_boolean_value("longer", False, context) is (drawn.arm != "control")  # noqa: FBT003
        assert client.get_object_value("longer", {}, context) == {"name": drawn.arm, "weight": 0.5}
        arms.add(drawn.arm)
    assert arms == {"control", "new-1"}


def test_who_takes_no_part_gets_the_default(client: OpenFeatureClient) -> None:
    late = EvaluationContext("user", {"now_ms": experiment().stop_ms})
    for context in (late, EvaluationContext(), EvaluationContext(targeting_key="")):
        found = client.get_string_details("longer", "none", context)
        assert (found.value, found.reason) == ("none", Reason.DEFAULT)


def test_unknown_flags_and_numbers_are_errors_with_the_default(client: OpenFeatureClient) -> None:
    context = EvaluationContext(targeting_key="user")
    found = client.get_string_details("other", "none", context)
    assert (found.value, found.error_code) == ("none", ErrorCode.FLAG_NOT_FOUND)
    assert client.get_integer_details("longer", 7, context).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_float_value("longer", 0.5, context) == 0.5


def test_a_request_has_an_arm_of_its_own() -> None:
    provider = ExperimentProvider([experiment(unit=Unit.REQUEST)], clock=HandClock(NOW_MS))
    contexts = [EvaluationContext("user", {"request_id": f"r{number}"}) for number in range(20)]
    found = {provider.resolve_string_details("longer", "", each).value for each in contexts}
    assert found == {"control", "new-1"}
