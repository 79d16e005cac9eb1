"""Temporal: workflows, activities by task queue, and the worker that runs the steps of the journey."""
