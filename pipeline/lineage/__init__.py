"""An import -> OpenLineage events: which file was read, which table was written, how many records, which rules were met."""
