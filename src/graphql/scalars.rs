//! Own scalars.

use std::fmt;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, TimeZone, Utc};
use entity::Timestamp;
use serde::{Serialize, Serializer};

/// An instant in UTC, RFC 3339 with milliseconds, e.g. `2026-11-22T10:15:30.123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// An instant in UTC, RFC 3339 with milliseconds, e.g. `2026-11-22T10:15:30.123Z`.
#[Scalar(name = "DateTime", specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let instant = chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|_| InputValueError::custom("not an RFC 3339 time, e.g. 2026-11-22T10:15:30.123Z"))?;
        Ok(Self(Timestamp(instant.timestamp_millis())))
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = Utc.timestamp_millis_opt(self.0.0).single().unwrap_or_default();
        formatter.write_str(&instant.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Timestamp> for DateTime {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive() {
        let text = Value::String("2026-11-22T10:15:30.123Z".into());
        let parsed = DateTime::parse(text.clone()).expect("parses");
        assert_eq!(parsed.to_value(), text);
    }

    #[test]
    fn other_zones_are_understood_and_nonsense_is_not() {
        let parsed = DateTime::parse(Value::String("2026-11-22T11:15:30.123+01:00".into())).expect("parses");
        assert_eq!(parsed.to_value(), Value::String("2026-11-22T10:15:30.123Z".into()));
        assert!(DateTime::parse(Value::String("yesterday".into())).is_err());
        assert!(DateTime::parse(Value::from(1)).is_err());
    }
}
