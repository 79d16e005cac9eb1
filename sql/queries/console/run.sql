-- console/run: a user's query, each row with its size; a row over the limit ends it before the row is sent.
select
    _answer.*, -- noqa: AM04
    case
        when octet_length(_answer::text) > {row_bytes}
            then ('a row of ' || octet_length(_answer::text) || ' bytes')::integer
        else octet_length(_answer::text)
    end as _bytes
from (
    {query}
) as _answer
