-- load/is_valid: what pg_input_is_valid is from PostgreSQL 16 on, for 15; it goes with the transaction, which is rolled back.
-- A cast would cut off what is too long for a type of fixed length; a field of a record refuses it.
create function pg_temp.bulkhead_is_valid(value text, type text) returns boolean
language plpgsql as $function$
begin
    if value is null or type = 'text' then
        return true;
    end if;
    begin
        if type ~* '(char|bit).*\(.*\)$' then
            execute format('select given from json_to_record($1) as fields (given %s)', type)
            using json_build_object('given', value);
        else
            execute format('select %L::%s', value, type);
        end if;
        return true;
    exception
        when data_exception or integrity_constraint_violation then
            return false;
    end;
end
$function$
