"""The allow-lists of users' SQL: functions, types and keywords.

A function is allowed if its result depends only on its arguments (or on the time, or on chance). It is not allowed if it reads
files, sleeps, reads or writes settings, returns data about sessions, roles, sizes or objects of the database, reads large
objects, runs SQL from an argument (``query_to_xml``), or takes the name of an object of the database (``nextval``;
``to_tsvector``, which takes a configuration). Functions of extensions cannot be reached: their schemas are not on the search
path of the SQL logins.

To add one: check that every function of that name in ``\\df`` follows the rule, then add it to its line.
"""

from __future__ import annotations

_FUNCTIONS_BY_KIND = {
    "of numbers": """
        abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
        div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi power radians random
        random_normal round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket bit_count get_bit
        get_byte set_bit set_byte""",
    "of text": """
        ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from convert_to
        crc32 crc32c decode encode format initcap left length lower lpad ltrim md5 normalize octet_length overlay parse_ident
        position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
        regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim
        sha224 sha256 sha384 sha512 split_part starts_with string_to_array string_to_table strpos substr substring to_bin
        to_hex to_oct translate trim unicode_assigned unistr upper""",
    "of dates": """
        age clock_timestamp current_date current_time current_timestamp date_add date_bin date_part date_subtract date_trunc
        extract isfinite justify_days justify_hours justify_interval localtime localtimestamp make_date make_interval
        make_time make_timestamp make_timestamptz now statement_timestamp timeofday timezone to_char to_date to_number
        to_timestamp transaction_timestamp""",
    "of conditions": "coalesce greatest least nullif num_nonnulls num_nulls row cast",
    "of arrays": """
        array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend
        array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_json array_to_string
        array_upper cardinality trim_array""",
    "of JSON": """
        json json_array json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
        json_each json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_keys json_query
        json_scalar json_serialize json_strip_nulls json_table json_to_record json_to_recordset json_typeof json_value
        jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat
        jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text
        jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match
        jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first
        jsonb_path_query_first_tz jsonb_path_query_tz jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record
        jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb""",
    "of ranges": "isempty lower_inc lower_inf multirange range_merge upper_inc upper_inf",
    "of addresses and ids": """
        abbrev broadcast family gen_random_uuid host hostmask inet_merge inet_same_family masklen netmask network set_masklen
        uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7""",
    "aggregates": """
        any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every grouping
        json_agg json_agg_strict json_arrayagg json_object_agg json_object_agg_strict json_object_agg_unique
        json_object_agg_unique_strict json_objectagg jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
        jsonb_object_agg_unique jsonb_object_agg_unique_strict max min mode percentile_cont percentile_disc range_agg
        range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev
        stddev_pop stddev_samp string_agg sum var_pop var_samp variance""",
    "windows": "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number",
    "that give rows": "generate_series generate_subscripts unnest",
}

FUNCTIONS = frozenset(" ".join(_FUNCTIONS_BY_KIND.values()).split())
"""Allowed functions, by PostgreSQL's names."""

_TYPES = """
    bigint int8 int int4 integer smallint int2 numeric decimal dec real float4 float8 float double boolean bool
    text varchar character char bpchar nchar national name citext bytea bit varbit
    date time timetz timestamp timestamptz interval
    uuid json jsonb jsonpath hstore money inet cidr macaddr macaddr8
    point line lseg box path polygon circle tsvector tsquery
    int4range int8range numrange tsrange tstzrange daterange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
    """

TYPES = frozenset(_TYPES.split())
"""Allowed types of a cast, by the first word of their names. None looks up its value in the database, as ``reg...`` types and
``aclitem`` do, and none is the row type of a table, which would reveal that the table exists."""

_KEYWORDS = """
    all and any array as asc asymmetric at bernoulli between both by case cast columns conditional cross cube current cycle
    default depth desc distinct else empty end error escape except exclude exists false fetch filter first following for from
    full group grouping having ignore ilike in inner intersect is isnull join key keys last lateral leading left like limit
    materialized natural nested next not notnull null nulls object of offset on only or order ordinality others outer over
    overlaps partition passing path placing preceding precision quotes range recursive repeatable respect returning right
    rollup row rows scalar search select sets similar some string symmetric system table tablesample then ties to trailing
    true unbounded unconditional union unique unknown using value values varying when where window with within without wrapper
    zone
    """

KEYWORDS = frozenset(_KEYWORDS.split())
"""Words of the grammar that may come before a bracket or a quoted text without being a call or a cast."""

SESSION = frozenset(
    ("current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user")
)
"""Functions written without brackets that return data about the session. They are not allowed."""

DESCRIBES = frozenset(("columns", "schemata", "tables", "views"))
"""Allowed views of information_schema. Of the others, one lists every table (udt_privileges), and none is needed."""
