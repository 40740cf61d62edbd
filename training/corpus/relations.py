"""What one file says about another: duplicates and caps, as one query.

It reads the annotated files without their texts and returns a row for each file that is dropped
here. The SQL stays in the subset that DuckDB and Spark share, and all hashes and orders in it were
computed by stages, never by the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.corpus.recipe import Caps

# grain: one row per file of `annotated` that is dropped by a relation to other files.
# Each step sees only what the step before it kept.
_DECISIONS = """
with kept as (
    select id, source, project, language, split, size_bytes, sha256, code_sha256, folder_rank
    from annotated
    where reason is null
),
texts as (
    select *, row_number() over (partition by sha256 order by id) as copy
    from kept
),
codes as (
    select *, row_number() over (partition by code_sha256 order by id) as code_copy
    from texts
    where copy = 1
),
projects as (
    select *, sum(size_bytes) over (
        partition by project, language order by folder_rank, id
        rows between unbounded preceding and current row
    ) as project_bytes
    from codes
    where code_copy = 1
),
languages as (
    select *, sum(case when split = 'train' then size_bytes else 0 end) over (
        partition by language order by folder_rank, id
        rows between unbounded preceding and current row
    ) as language_bytes
    from projects
    where project_bytes <= {project_bytes}
)
select id, source, 'exact_duplicates' as stage, 'same_text' as reason
from texts where copy > 1
union all
select id, source, 'code_duplicates' as stage, 'same_code' as reason
from codes where code_copy > 1
union all
select id, source, 'balance' as stage, 'over_project_cap' as reason
from projects where project_bytes > {project_bytes}
union all
select id, source, 'balance' as stage, 'over_language_cap' as reason
from languages where split = 'train' and language_bytes > {language_bytes}
order by source, id
"""


def decisions_sql(caps: Caps) -> str:
    """Return the query whose rows (id, source, stage, reason) are the files to drop."""
    cases = "".join(
        f" when language = '{name}' then {num_bytes}"
        for name, num_bytes in sorted((caps.language_bytes_of or {}).items())
    )
    language_bytes = (
        f"(case{cases} else {caps.language_bytes} end)" if cases else caps.language_bytes
    )
    return _DECISIONS.format(project_bytes=caps.project_bytes, language_bytes=language_bytes)
