"""A dbt package of loaded datasets: from their definitions to the files of a dbt project, which read the warehouse."""
