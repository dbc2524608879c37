//! Writes events as log, JSON or table.
