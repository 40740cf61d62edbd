-- The texts of the files to show; a text is cut, so that a few huge files do no harm.
-- grain: one row per id of `wanted`.
select
    annotated.id as id, annotated.source as source, annotated.path as path,
    substring(annotated.text, 1, 262144) as text
from annotated join wanted on annotated.id = wanted.id
order by annotated.id
