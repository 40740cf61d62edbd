-- What a show/hide filter learns from: suggestions that nobody asked for, and that could be read.
-- grain: one row per completion, of a sample of the users where there are many.
-- params: $since, $until (days, UTC; null: no limit), $sample (share of the users, 0 to 1)
-- helped: accepted, and half of it or more stands at the last look, as far as anybody looked.
-- propensity: how likely it was to be shown; what a filter would have hidden counts for more.
-- What the user typed through, and what has no end, says neither yes nor no.
select
    coalesce(user_key, session_id) as who,
    session_id,
    is_taken,
    coalesce(
        is_taken and not is_undone and (kept_chars is null or 2 * kept_chars >= accepted_chars),
        false
    ) as helped,
    case when is_taken then coalesce(kept_chars, accepted_chars, 0) else 0 end as chars_kept,
    coalesce(filter_propensity, 1.0) as propensity,
    mean_logprob,
    num_chars,
    num_lines,
    generated_tokens,
    prefix_chars,
    suffix_chars,
    num_snippets,
    snippet_bytes,
    total_ms,
    head_chars,
    behind_chars,
    is_in_word::int as is_in_word,
    since_taken_ms,
    since_rejected_ms,
    language,
    scope,
    cache,
    stop_reason
from completions
where
    is_seen
    and trigger = 'automatic'
    and outcome in ('accepted', 'accepted_part', 'rejected', 'moved_away')
    and filter_propensity is distinct from 0
    and hash(who) % 1000 < 1000 * $sample
    and ($since is null or day >= $since::date)
    and ($until is null or day <= $until::date)
order by who, session_id, at_ms, completion_id
