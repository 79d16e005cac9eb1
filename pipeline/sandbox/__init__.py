"""Run one job on a file of unknown origin in a child process with limits and without credentials.

A function and its arguments go in; its typed result comes out, or an error of errors.py. Used by the steps read, validate,
report and prepare (``validate_file``), by previews (``preview_file``) and by the files of results (``write_results``).

``process.run`` asks a ``ForkServer`` for a child. The server is a process of its own (``fork_server_main``) that was started
with a clean environment, has one thread and has imported the heavy libraries; it forks a child for each job (``child``), which
limits itself (``limits``) and then answers in JSON (``messages``).
"""
