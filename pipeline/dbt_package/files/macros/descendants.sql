{#
  All records below a record, as a SELECT of of_id, id, distance (1 for a child). Without an id: below each record.
  key, parent: the columns, for a relation that is no dataset of the source. A cycle ends where it closes. PostgreSQL 14 or newer.
#}
{% macro descendants(relation, id=none, key=none, parent=none) %}
{%- set names = bulkhead.hierarchy_columns(relation) -%}
{%- set key_column = adapter.quote(key or names[0]) -%}
{%- set parent_column = adapter.quote(parent or names[1]) -%}
with recursive below as (
    select
        record.{{ key_column }} as of_id,
        record.{{ key_column }} as id,
        0 as distance
    from {{ relation }} as record
    {%- if id is not none %}
    where record.{{ key_column }} = {{ dbt.string_literal(dbt.escape_single_quotes(id | string)) }}
    {%- endif %}

    union all

    select
        below.of_id,
        record.{{ key_column }} as id,
        below.distance + 1 as distance
    from below
    inner join {{ relation }} as record on below.id = record.{{ parent_column }}
) cycle id set is_cycle using ids_passed

select
    of_id,
    id,
    distance
from below
where distance > 0 and not is_cycle
{%- endmacro %}
