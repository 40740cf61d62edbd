-- Simulated requests in the columns of the view `opportunities`.
-- grain: one row per request of the table `simulated`.
-- params: $model, $model_digest
select
    day,
    session_id,
    session_id || '-' || at_ms || '-' || row_number() over (partition by session_id order by at_ms)
        as opportunity_id,
    case when is_served then opportunity_id end as completion_id,
    is_served,
    case when not is_served then reason end as not_served_reason,
    user_key,
    1 as key_epoch,
    nullif(team, '') as team,
    'keys' as level,
    editor,
    '1.0' as editor_version,
    '0.1.0' as server_version,
    at_ms,
    case when is_served then at_ms + total_ms end as served_at_ms,
    language,
    'automatic' as trigger,
    case when num_lines > 1 then 'block' else 'line' end as scope,
    case when is_served then cache end as cache,
    $model as model,
    $model_digest as model_digest,
    'embedded' as backend,
    case when is_served then 2000 end as prefix_chars,
    case when is_served then 500 end as suffix_chars,
    case when is_served then num_chars // 4 + 1 end as generated_tokens,
    case when is_served then num_chars end as num_chars,
    case when is_served then num_lines end as num_lines,
    case when is_served then total_ms / 3 end as first_token_ms,
    total_ms,
    is_shown,
    case when is_shown then 'inferred' end as shown_source,
    case when is_shown then total_ms end as shown_delay_ms,
    case when is_served then outcome end as outcome,
    case
        when outcome in ('accepted', 'accepted_part') then 'editor' when is_served then 'inferred'
    end as outcome_source,
    case when is_shown then visible_ms when is_served then 0 end as visible_ms,
    case when is_served then accepted_chars end as accepted_chars,
    case when is_served then if(outcome = 'accepted', num_lines, 0) end as accepted_lines,
    case when is_served then if(outcome = 'typed_through', num_chars, 0) end as typed_chars,
    is_undone,
    case when accepted_chars > 0 then if(is_undone, 0, kept_0) end as kept_rate_30s,
    case when accepted_chars > 0 then if(is_undone, 0, kept_1) end as kept_rate_120s,
    case when accepted_chars > 0 then if(is_undone, 0, kept_2) end as kept_rate_300s,
    case when accepted_chars > 0 then if(is_undone, 0, kept_3) end as kept_rate_600s,
    case when accepted_chars > 0 then round(if(is_undone, 0, kept_3) * accepted_chars)::bigint end
        as kept_chars_600s
from simulated
