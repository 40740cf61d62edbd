"""Our experiments as an OpenFeature provider: other programs ask for the arm of the same unit.

    api.set_provider(ExperimentProvider(read_registry(folder)))
    client = api.get_client()
    client.get_string_value("longer", "control", EvaluationContext(targeting_key=user_id))

A flag is an experiment; its value is the arm's name as a string, the arm's settings as an object,
and whether the arm is not the control as a boolean. The targeting key is the user; the attributes
`request_id` and `now_ms` (Unix time) are for experiments whose unit is not the user.

Needs the extra: pip install 'fimble[openfeature]'. Source: https://openfeature.dev/specification.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from fimble.clock import SystemClock
from fimble.experiments import Assigner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType

    from fimble.clock import Clock
    from fimble.experiments import Arm, Assignment, Experiment

    Value = TypeVar("Value")

_SYSTEM_CLOCK = SystemClock()


class ExperimentProvider(AbstractProvider):
    """Answers flags by the keyed hash that the language server uses."""

    def __init__(self, experiments: Sequence[Experiment], *, clock: Clock = _SYSTEM_CLOCK) -> None:
        """Take the experiments that may be asked for.

        Args:
            experiments: As `fimble.experiments.read_registry` returns them.
            clock: Tells the time where the context does not.
        """
        super().__init__()
        self._experiments = {each.name: each for each in experiments}
        self._clock = clock

    def get_metadata(self) -> Metadata:
        """Return our name."""
        return Metadata(name="fimble")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the name of the arm."""
        arm, drawn = self._arm(flag_key, evaluation_context)
        return self._details(flag_key, arm.name if arm else default_value, drawn)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as the interface has it
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether the arm is another one than the control."""
        arm, drawn = self._arm(flag_key, evaluation_context)
        is_new = arm is not None and arm != self._experiments[flag_key].control
        return self._details(flag_key, is_new if arm else default_value, drawn)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return what the arm sets."""
        arm, drawn = self._arm(flag_key, evaluation_context)
        return self._details(flag_key, _settings(arm) if arm else default_value, drawn)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,  # noqa: ARG002 - as the interface has it
    ) -> FlagResolutionDetails[int]:
        """Refuse: an arm is no number."""
        return _refused(default_value, flag_key)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,  # noqa: ARG002 - as the interface has it
    ) -> FlagResolutionDetails[float]:
        """Refuse: an arm is no number."""
        return _refused(default_value, flag_key)

    def _arm(
        self, flag_key: str, context: EvaluationContext | None
    ) -> tuple[Arm | None, Assignment | None]:
        """Return the arm of a unit; None where it takes no part."""
        experiment = self._experiments.get(flag_key)
        if experiment is None or context is None or not context.targeting_key:
            return None, None
        attributes = context.attributes
        now_ms = attributes.get("now_ms", self._clock.wall_ms())
        assigner = Assigner([experiment], user_id=context.targeting_key)
        drawn = assigner.assign(
            request_id=str(attributes.get("request_id", "")),
            now_ms=now_ms if isinstance(now_ms, int) else self._clock.wall_ms(),
        )
        if not drawn:
            return None, None
        return next(arm for arm in experiment.arms if arm.name == drawn[0].arm), drawn[0]

    def _details(
        self, flag_key: str, value: Value, drawn: Assignment | None
    ) -> FlagResolutionDetails[Value]:
        """Return a value with where it comes from."""
        if flag_key not in self._experiments:
            return FlagResolutionDetails(
                value,
                error_code=ErrorCode.FLAG_NOT_FOUND,
                error_message=f"no experiment {flag_key!r}",
                reason=Reason.ERROR,
            )
        if drawn is None:
            return FlagResolutionDetails(value, reason=Reason.DEFAULT)
        return FlagResolutionDetails(
            value,
            variant=drawn.arm,
            reason=Reason.SPLIT,
            flag_metadata={"bucket": drawn.bucket, "propensity": drawn.propensity},
        )


def _settings(arm: Arm) -> dict[str, FlagValueType]:
    """Return what an arm sets; what it leaves as configured is left out."""
    table = dataclasses.asdict(arm)
    return {key: value for key, value in table.items() if value is not None and value != ""}


def _refused(value: Value, flag_key: str) -> FlagResolutionDetails[Value]:
    return FlagResolutionDetails(
        value,
        error_code=ErrorCode.TYPE_MISMATCH,
        error_message=f"{flag_key} is an experiment: ask for a string, a boolean or an object",
        reason=Reason.ERROR,
    )
