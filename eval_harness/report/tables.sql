-- What runs leave in a database. `run` is the name of the run's folder, as the report gives it.

create table runs (
    run varchar primary key,
    model varchar,
    model_kind varchar,
    model_digest varchar,
    temperature double,
    seed bigint,
    num_samples integer,
    prompts varchar,
    sandbox varchar,
    manifest json
);
comment on table runs is 'grain: one run; manifest is its manifest.json';

create table problems (
    run varchar,
    suite varchar,
    language varchar,
    problem_id varchar,
    cluster varchar,
    kind varchar,
    extent varchar,
    variant varchar,
    known_bad varchar,
    contaminated varchar,
    prompt varchar,
    suffix varchar,
    canonical varchar,
    has_tests boolean
);
comment on table problems is 'grain: one problem of a run; known_bad and contaminated say why, or are empty';

create table samples (
    run varchar,
    suite varchar,
    language varchar,
    problem_id varchar,
    number integer,
    text varchar,
    stop_reason varchar,
    latency_ms double,
    first_token_ms double,
    prompt_tokens integer,
    generated_tokens integer,
    canonical_logprob double,
    is_exact boolean,
    edit_similarity double,
    stops_right boolean,
    parses boolean,
    state varchar,
    is_passed boolean,
    detail varchar,
    cpu_ms double,
    is_cached boolean,
    num_tries integer
);
comment on table samples is 'grain: one answer; state is null until it is judged, is_passed is null where the verdict says nothing about the answer';

create table scores (
    run varchar,
    suite varchar,
    language varchar,
    variant varchar,
    metric varchar,
    value double,
    low double,
    high double,
    num_problems integer,
    num_clusters integer
);
comment on table scores is 'grain: one metric of a run, suite and language (all: of all together) with its 95% interval; variant is main, with_known_bad or without_contaminated';

create view problem_scores as
select
    s.run,
    s.suite,
    s.language,
    s.problem_id,
    p.cluster,
    avg(cast(case when p.has_tests then s.is_passed else s.is_exact end as integer)) as score,
    count(*) as num_samples
from samples as s
join problems as p using (run, suite, language, problem_id)
where p.known_bad = ''
group by all;
comment on view problem_scores is 'grain: one problem of a run that counts; score is the share of its answers that pass, or are exact where there are no tests';

create view differences as
select
    a.run as first_run,
    b.run as second_run,
    a.suite,
    a.language,
    a.problem_id,
    a.score as first_score,
    b.score as second_score
from problem_scores as a
join problem_scores as b using (suite, language, problem_id)
where a.run <> b.run and a.score <> b.score;
comment on view differences is 'grain: one problem that two runs did not answer equally well';

create view verdicts as
select run, suite, language, state, count(*) as num_samples, avg(cpu_ms) as mean_cpu_ms
from samples
where state is not null
group by all;
comment on view verdicts is 'grain: one state of a run, suite and language';
