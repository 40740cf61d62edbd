-- What became of completions whose code may be used for training, for `fimble telemetry pairs`.
-- grain: one row per completion of a session that was recorded at level `content`.
-- params: none
-- kept_rate is that of the last look at an accepted text, the longest horizon first; null where
-- nobody looked.
select
    session_id,
    completion_id,
    coalesce(user_key, '') as user_key,
    coalesce(day::varchar, '') as day,
    coalesce(language, '') as language,
    coalesce(model, '') as model,
    coalesce(model_digest, '') as model_digest,
    coalesce(cache, '') as cache,
    coalesce(prefix_chars, 0) as prefix_chars,
    coalesce(suffix_chars, 0) as suffix_chars,
    coalesce(num_chars, 0) as num_chars,
    outcome,
    coalesce(outcome_source, '') as outcome_source,
    coalesce(visible_ms, 0) as visible_ms,
    is_undone,
    coalesce(kept_rate_600s, kept_rate_end, kept_rate_300s, kept_rate_120s, kept_rate_30s)
        as kept_rate
from completions
where level = 'content'
order by session_id, completion_id
