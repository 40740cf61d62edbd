"""GRPO: the model writes at places of a project, and learns from what its tests say.

Of the texts of one prompt, those that pass become more likely and the others less; where all pass
or all fail there is nothing to learn. Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl import GRPOConfig, GRPOTrainer

from training.tuning.samples import Sample, greedy, sample_of
from training.tuning.trainer import free_memory, loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from training.tuning.encoding import Encoder
    from training.tuning.preference_recipe import PreferenceRecipe, RewardConfig
    from training.tuning.preference_rows import Row
    from training.tuning.verdicts import Verdicts


def grpo_trainer(
    recipe: PreferenceRecipe,
    settings: dict[str, Any],
    shared: dict[str, Any],
    encoder: Encoder,
    verdicts: Verdicts,
) -> GRPOTrainer:
    """Return the trainer of a recipe.

    Args:
        recipe: With a `reward` table.
        settings: See `trainer_settings`.
        shared: What the trainers of all objectives take: model, data, vocabulary, callbacks.
        encoder: Of the model.
        verdicts: Of the project that the places are of.
    """
    ends = sorted(encoder.end_ids)
    # trl finds the end of a text by what the model itself declares.
    shared["model"].generation_config.eos_token_id = ends
    config = GRPOConfig(
        **settings,
        beta=recipe.beta,
        num_generations=recipe.reward.per_prompt,
        temperature=recipe.reward.temperature,
        max_completion_length=recipe.reward.max_new_tokens,
        generation_kwargs={"use_cache": True, "eos_token_id": ends},
    )
    return GRPOTrainer(args=config, reward_funcs=_reward(encoder, verdicts), **shared)


def _reward(encoder: Encoder, verdicts: Verdicts) -> Callable[..., list[float | None]]:
    """Return the function that trl asks; its name stands in the log."""

    def tests_pass(
        completion_ids: list[list[int]],
        place_id: list[str],
        **others: object,  # noqa: ARG001 - trl's signature
    ) -> list[float | None]:
        # trl's own texts lack the marks that a model may write within code.
        samples = [sample_of(ids, encoder) for ids in completion_ids]
        return [float(passed) for passed in _judged(place_id, samples, encoder, verdicts)]

    return tests_pass


def _judged(
    place_ids: Sequence[str], samples: Sequence[Sample], encoder: Encoder, verdicts: Verdicts
) -> list[bool]:
    """Return whether each text is a completion that passes: it ends by itself and is code alone."""
    sane = [each.has_ended and not encoder.fim_format.sentinel_in(each.text) for each in samples]
    asked = [
        (place_id, sample.text)
        for place_id, sample, is_sane in zip(place_ids, samples, sane, strict=True)
        if is_sane
    ]
    answers = iter(verdicts.passes(asked))
    return [is_sane and next(answers) for is_sane in sane]


def tests_passed(
    folder: Path, rows: Sequence[Row], encoder: Encoder, config: RewardConfig, verdicts: Verdicts
) -> float:
    """Return the share of held-out places at which a model's most probable text passes.

    Args:
        folder: Hugging Face folder of the model.
        rows: Held-out places, in their order of the file.
        encoder: Of the model.
        config: Says how many of them are filled, and how long a text may be.
        verdicts: Of their project.
    """
    asked = rows[: config.held_out_places]
    model = loaded(folder)
    prompts = [row.prompt_ids for row in asked]
    samples = greedy(model, prompts, encoder, max_new_tokens=config.max_new_tokens)
    del model
    free_memory()
    passed = _judged([row.place_id for row in asked], samples, encoder, verdicts)
    return round(sum(passed) / len(asked), 6)
