"""All metrics of Bulkhead's own. docs/monitoring.md has the same list, and a test compares the two.

Names begin with ``bulkhead_`` and end with their unit, as https://prometheus.io/docs/practices/naming/ recommends. No label has
a value of a record, a name of a file or a key of an object.
"""

from __future__ import annotations

from pipeline.contracts.states import State
from pipeline.telemetry.metric import DATASET, Kind, Metric, Program

WEB, WORKER, RELAY = Program
BOTH = (WEB, WORKER)
COUNTER, GAUGE, HISTOGRAM = Kind

SHORT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for requests."""

LONG_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
"""Buckets for phases of an import: a small file takes a second, a long queue a day."""

# --- imports ---

TRANSITIONS = Metric(
    "bulkhead_import_transitions_total",
    COUNTER,
    "Imports that came into a state.",
    BOTH,
    {DATASET: None, "state": tuple(map(str, State))},
)
OPEN_IMPORTS = Metric(
    "bulkhead_open_imports",
    GAUGE,
    "Imports that have not ended, by their state.",
    BOTH,
    {DATASET: None, "state": tuple(str(state) for state in State if not state.is_final)},
    is_read=True,
)
QUEUE_LENGTH = Metric(
    "bulkhead_queue_length_imports",
    GAUGE,
    "Imports that wait in the queue of their dataset.",
    BOTH,
    {DATASET: None},
    is_read=True,
)
QUEUE_AGE = Metric(
    "bulkhead_queue_oldest_age_seconds",
    GAUGE,
    "How long the first import of the queue has waited; 0 if none does.",
    BOTH,
    {DATASET: None},
    is_read=True,
)
PHASES = ("queued", "validating", "preparing", "loading", "whole")
PHASE_SECONDS = Metric(
    "bulkhead_import_phase_seconds",
    HISTOGRAM,
    "How long an import that ended was in a phase; whole: from its first place in the queue to its end.",
    (WORKER,),
    {DATASET: None, "phase": PHASES},
    buckets=LONG_SECONDS,
)
OUTCOMES = ("inserted", "updated", "unchanged", "failed", "quarantined", "unprocessed")
RECORDS = Metric(
    "bulkhead_records_total",
    COUNTER,
    "Records by outcome. Loaded and failed ones count when their part is committed, the other two when the import ends.",
    (WORKER,),
    {DATASET: None, "outcome": OUTCOMES},
)
FILE_BYTES = Metric(
    "bulkhead_validated_file_bytes_total", COUNTER, "Size of the files that were validated.", (WORKER,), {DATASET: None}
)
FINDINGS = Metric(
    "bulkhead_findings_total",
    COUNTER,
    "Findings of the validation by code; codes that a suite adds are together as other.",
    (WORKER,),
    {DATASET: None, "code": None},
)
PARTS = Metric("bulkhead_parts_loaded_total", COUNTER, "Parts that were committed.", (WORKER,), {DATASET: None})
PARTS_IN_FLIGHT = Metric("bulkhead_parts_in_flight", GAUGE, "Parts that this worker loads now.", (WORKER,))
ARRIVAL_AGE = Metric(
    "bulkhead_dataset_last_arrival_age_seconds",
    GAUGE,
    "Time since the last file of the dataset arrived; without one, since its expect_every was first seen.",
    BOTH,
    {DATASET: None},
    is_read=True,
)
EXPECTED_EVERY = Metric(
    "bulkhead_dataset_expected_interval_seconds",
    GAUGE,
    "The expect_every of the dataset's suite.",
    BOTH,
    {DATASET: None},
    is_read=True,
)

# --- steps ---

STEP_RETRIES = Metric(
    "bulkhead_step_retries_total",
    COUNTER,
    "Attempts at a step that ended with an error and are repeated.",
    (WORKER,),
    {"step": None, "error": None},
)
STEP_FAILURES = Metric(
    "bulkhead_step_failures_total",
    COUNTER,
    "Steps that ended with an error that is not repeated; FileIsWrong: the file is at fault.",
    (WORKER,),
    {"step": None, "error": None},
)
DEATH_REASONS = ("memory", "time", "file_size", "signal", "exit", "other")
SANDBOX_DEATHS = Metric(
    "bulkhead_sandbox_deaths_total",
    COUNTER,
    "Child processes that died on a file or exceeded a limit.",
    BOTH,
    {"reason": DEATH_REASONS},
)

# --- messages ---

CHANNELS = ("webhook", "email")
DELIVERY_RESULTS = ("delivered", "retried", "given_up")
DELIVERIES = Metric(
    "bulkhead_deliveries_total",
    COUNTER,
    "Attempts to deliver a message. retried: it is tried again; given_up: it is not.",
    (WORKER,),
    {"channel": CHANNELS, "result": DELIVERY_RESULTS},
)

# --- maintenance ---

RECONCILED = Metric(
    "bulkhead_reconciliation_finds_total",
    COUNTER,
    "What reconciliation found and repaired.",
    (WORKER,),
    {"kind": ("started_imports", "expired_uploads", "restarted_messages", "terminated_runs")},
)
RECONCILIATION_RUNS = Metric("bulkhead_reconciliation_runs_total", COUNTER, "Reconciliations that ended well.", (WORKER,))
LEFT_OBJECTS = Metric(
    "bulkhead_reconciliation_left_objects",
    GAUGE,
    "Objects that the last reconciliation of this worker left alone.",
    (WORKER,),
    {"kind": ("unknown", "replaced")},
)
REMOVED_KINDS = (
    *("batches", "results", "reports", "sources", "uploads", "folders", "dry_runs"),
    *("idempotency_keys", "sign_ins", "foreign_writes", "mails", "dead_letters"),
    *("audits", "audit_events", "expired_keys", "dropped", "drafts"),
)
REMOVED = Metric(
    "bulkhead_retention_removed_total",
    COUNTER,
    "What retention removed. The first four kinds count imports.",
    (WORKER,),
    {"kind": REMOVED_KINDS},
)
NOT_REMOVED = Metric("bulkhead_retention_failures_total", COUNTER, "What retention could not remove.", (WORKER,))

# --- the web app ---

REQUESTS = Metric(
    "bulkhead_http_requests_total",
    COUNTER,
    "Requests by route template, method and status.",
    (WEB,),
    {"route": None, "method": None, "status": None},
)
REQUEST_SECONDS = Metric(
    "bulkhead_http_request_seconds",
    HISTOGRAM,
    "Time until the answer to a request begins; of an upload, until it is stored.",
    (WEB,),
    {"route": None, "method": None},
    buckets=SHORT_SECONDS,
)
RECEIVED_BYTES = Metric(
    "bulkhead_http_received_bytes_total", COUNTER, "Size of the bodies of requests.", (WEB,), {"route": None}
)
SENT_BYTES = Metric("bulkhead_http_sent_bytes_total", COUNTER, "Size of the bodies of answers.", (WEB,), {"route": None})

# --- what it runs on ---

POOL_IN_USE = Metric(
    "bulkhead_postgresql_pool_used_connections", GAUGE, "Connections to PostgreSQL that are in use.", BOTH, {"pool": None}
)
POOL_LIMIT = Metric(
    "bulkhead_postgresql_pool_max_connections", GAUGE, "Connections to PostgreSQL that a pool may open.", BOTH, {"pool": None}
)
DEPENDENCIES = ("postgresql", "s3", "temporal")
DEPENDENCY_UP = Metric(
    "bulkhead_dependency_up", GAUGE, "Whether a server answered: 1 or 0.", (WEB,), {"dependency": DEPENDENCIES}, is_read=True
)
POLLERS = Metric(
    "bulkhead_workers_polling", GAUGE, "Workers that poll the task queue for workflows, as Temporal says.", (WEB,), is_read=True
)
REPLICA_LAG = Metric(
    "bulkhead_postgresql_replica_lag_seconds",
    GAUGE,
    "How far the server of DATABASE_READ_URL lags behind; 0 if it is no replica.",
    (WEB,),
    is_read=True,
)
DISK_FREE = Metric(
    "bulkhead_disk_free_bytes", GAUGE, "Free space on the disk of BULKHEAD_HOME.", (WEB, WORKER, RELAY), is_read=True
)
DISK_SIZE = Metric("bulkhead_disk_size_bytes", GAUGE, "Size of the disk of BULKHEAD_HOME.", (WEB, WORKER, RELAY), is_read=True)
CERTIFICATE_EXPIRY = Metric(
    "bulkhead_certificate_expiry_timestamp_seconds",
    GAUGE,
    "When a certificate of BULKHEAD_METRICS_CERTIFICATES expires, in Unix time; 0 if it cannot be read.",
    BOTH,
    {"certificate": None},
    is_read=True,
)
BUILD = Metric(
    "bulkhead_build_info", GAUGE, "1, with the release as its label.", (WEB, WORKER, RELAY), {"version": None}, is_read=True
)

# --- the event relay ---

EVENT_RESULTS = ("accepted", "ignored", "malformed", "refused")
RELAY_EVENTS = Metric(
    "bulkhead_relay_events_total",
    COUNTER,
    "Posts of the object store, by what became of them.",
    (RELAY,),
    {"result": EVENT_RESULTS},
)
RELAY_DELIVERIES = Metric(
    "bulkhead_relay_deliveries_total",
    COUNTER,
    "Calls of the Lambda, by their result; dead_letter: an event that is not tried again.",
    (RELAY,),
    {"result": ("delivered", "failed", "dead_letter")},
)
RELAY_WAITING = Metric(
    "bulkhead_relay_waiting_events", GAUGE, "Events on the relay's disk that are still to be delivered.", (RELAY,), is_read=True
)
RELAY_DEAD = Metric("bulkhead_relay_dead_letters", GAUGE, "Dead letters on the relay's disk.", (RELAY,), is_read=True)

ALL: tuple[Metric, ...] = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
