-- The metrics that we report, each with its one definition.
-- grain: one row per day (UTC), editor, language, trigger and model.
-- params: none
-- Rates are 0..1, and null where nothing can be said. Rates of several rows do not add up: add the
-- sums of `acceptance()` and divide.
select
    day,
    editor,
    language,
    trigger,
    model,
    num_served,
    num_shown,
    num_taken,
    num_taken / nullif(num_seen, 0) as acceptance_rate_750,
    num_taken / nullif(num_shown, 0) as acceptance_rate,
    num_taken / nullif(num_served, 0) as taken_per_served_rate,
    accepted_chars / nullif(shown_chars, 0) as accepted_chars_rate,
    num_typed_through / nullif(num_shown, 0) as typed_through_rate,
    num_rejected / nullif(num_shown, 0) as rejected_rate,
    num_unresolved / nullif(num_served, 0) as unresolved_rate
from acceptance()
