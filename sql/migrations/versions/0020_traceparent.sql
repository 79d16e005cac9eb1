-- The trace of an import: from its upload, or from the event of a dropped file, to its last part.
alter table ledger.import add column traceparent text;

comment on column ledger.import.traceparent is 'W3C traceparent of the span that the import belongs to; null without tracing.';
