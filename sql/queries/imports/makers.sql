-- imports/makers: the keys and users whose ID is :by, or whose name has it as a part.
select api_key.id
from access.api_key
where api_key.id::text = lower(:by) or strpos(lower(api_key.name), lower(:by)) > 0
union all
select person.id
from access.person
where person.id::text = lower(:by) or strpos(lower(person.name), lower(:by)) > 0
