//! Reading the event log.
