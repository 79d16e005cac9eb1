-- reader_limits/temp_file_limit: how much of the disk one query of a reader may take for what does not fit into memory.
alter role {role} in database {database} set temp_file_limit = '1GB'
