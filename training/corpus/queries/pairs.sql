-- grain: one row per pair of `edges`, with what `minhash.estimate` needs.
select
    edges.a as a, edges.b as b,
    one.signature as signature_a, other.signature as signature_b
from edges
    join annotated one on edges.a = one.file
    join annotated other on edges.b = other.file
