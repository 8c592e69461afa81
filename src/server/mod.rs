//! Listening, routing, stopping.
