-- tree_view/select: the view <dataset>_tree: each record with its depth (a root has 0), its path of ids from the root, and the
-- numbers of its children and of all records below it. Each is computed for the rows and columns that are read only, by the index
-- over parents, so that a few records take no longer in a large table. A path ends above 1,000 levels.
select
    record.{key} as id,
    record.{parent} as "parentId",
    (
        with recursive up as (
            select
                record.{parent} as parent,
                0 as level

            union all

            select
                above.{parent} as parent,
                up.level + 1 as level
            from up
            inner join {table} as above on up.parent = above.{key}
            where up.level < 1000
        )

        select max(up.level) from up
    ) as depth,
    (
        with recursive up as (
            select
                record.{key} as id,
                record.{parent} as parent,
                0 as level

            union all

            select
                above.{key} as id,
                above.{parent} as parent,
                up.level + 1 as level
            from up
            inner join {table} as above on up.parent = above.{key}
            where up.level < 1000
        )

        select string_agg(up.id, ' > ' order by up.level desc) from up
    ) as path,
    (select count(*) from {table} as child where child.{parent} = record.{key}) as children,
    (
        with recursive below as (
            select child.{key} as id
            from {table} as child
            where child.{parent} = record.{key}

            union

            select child.{key} as id
            from below
            inner join {table} as child on below.id = child.{parent}
        )

        select count(*) from below
    ) as descendants
from {table} as record
