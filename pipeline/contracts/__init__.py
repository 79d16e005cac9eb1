"""What crosses a process line: states, object keys, upload options, and one message in and out for each step.

Standard library only: the Lambda's zip has no more.
"""
