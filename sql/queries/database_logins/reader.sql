-- database_logins/reader: note that a login is a member of another role for a set of datasets.
update access.database_login
set reader = :reader
where id = :id
